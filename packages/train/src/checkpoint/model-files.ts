import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Module, NameMap } from "@openelm/nn";
import { FormatError, loadSafetensors, saveSafetensors, type Tensor } from "@openelm/tensor";

/** How a model's own files get into a checkpoint and out of it. */
export interface ModelFiles {
  /** Writes the model into `folder`, with these values by parameter path. The model itself has moved on. */
  save(folder: string, weights: ReadonlyMap<string, Tensor>): Promise<void>;
  /** The values in `folder` by parameter path, in memory of their own. */
  load(folder: string): Promise<Map<string, Tensor>>;
}

/** Options of {@link modelFiles}. */
export interface ModelFilesOptions {
  /** How parameters are called in the file. Default: by their paths. */
  readonly names?: NameMap | undefined;
  /** Which parameters are written, by their paths; those that are not are not read either. Default: all. */
  readonly only?: ((path: string) => boolean) | undefined;
  /** Writes what else belongs to the model, such as its configuration and tokenizer. */
  readonly extras?: ((folder: string) => Promise<void>) | undefined;
}

/** The file with the weights. */
export const WEIGHTS = "model.safetensors";

/**
 * The weights as `model.safetensors`, and whatever `extras` writes beside it.
 *
 * @example
 * ```ts
 * import { writeFile } from "node:fs/promises";
 *
 * modelFiles(model, { names: HF_NAMES, extras: (folder) => writeFile(`${folder}/NOTES`, "learning rate 1e-3") });
 * ```
 */
export function modelFiles(
  model: Module,
  { names, only = () => true, extras }: ModelFilesOptions = {},
): ModelFiles {
  const nameOf = (path: string): string => names?.toFile(path) ?? path;
  return {
    async save(folder, weights) {
      const named = new Map(
        [...weights].filter(([path]) => only(path)).map(([path, tensor]) => [nameOf(path), tensor]),
      );
      await saveSafetensors(join(folder, WEIGHTS), named, { metadata: { format: "pt" } });
      await extras?.(folder);
    },
    async load(folder) {
      const path = join(folder, WEIGHTS);
      // Training changes its weights in place and deletes old checkpoints, so nothing may lie in the file.
      const tensors = await loadSafetensors(path, { mmap: false });
      const weights = new Map<string, Tensor>();
      for (const [parameter] of model.namedParameters()) {
        if (!only(parameter)) continue;
        const tensor = tensors.get(nameOf(parameter));
        if (tensor === undefined) {
          tensors.dispose();
          throw new FormatError(`${path} has no tensor "${nameOf(parameter)}"; it belongs to another model`, {
            path,
          });
        }
        weights.set(parameter, tensor);
      }
      return weights;
    },
  };
}

/** Parses a JSON file that this package wrote. */
export async function readJson(path: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(path, "utf8"));
  } catch (cause) {
    throw new FormatError(`${path} cannot be read: ${(cause as Error).message}`, { path, cause });
  }
}
