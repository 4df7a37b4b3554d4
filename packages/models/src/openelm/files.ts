//! A model as a folder: `config.json` and `model.safetensors`, in the form of the Hugging Face port.
import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { FileError, FormatError } from "@openelm/native";
import type { DeviceLike, DType } from "@openelm/tensor";
import { HF_NAMES } from "./checkpoint-names.js";
import type { OpenELMConfig } from "./config.js";
import { fromHFConfig, toHFConfig } from "./hf-config.js";
import { OpenELM } from "./model.js";

/** Options of {@link loadOpenELM}. */
export interface LoadModelOptions {
  /** Casts the weights. */
  readonly dtype?: DType;
  readonly device?: DeviceLike;
}

/**
 * Loads a model from a folder with `config.json` and `model.safetensors`. Weights are not initialized first.
 *
 * @throws FileError if a file is missing, FormatError if one does not hold what it should.
 */
export async function loadOpenELM(folder: string, options: LoadModelOptions = {}): Promise<OpenELM> {
  const model = new OpenELM(await readConfig(folder));
  return model.load(join(folder, "model.safetensors"), { ...options, names: HF_NAMES });
}

/** The configuration in a model's folder. */
export async function readConfig(folder: string): Promise<OpenELMConfig> {
  const path = join(folder, "config.json");
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (cause) {
    throw new FileError(`${path} cannot be read; a model's folder has config.json and model.safetensors`, {
      path,
      cause,
    });
  }
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new FormatError(`${path} is not JSON: ${(cause as Error).message}`, { path, cause });
  }
  if (typeof json !== "object" || json === null)
    throw new FormatError(`${path} must hold an object`, { path });
  return fromHFConfig(json as Record<string, unknown>, path);
}

/** Writes a model to a folder that other programs read as well. */
export async function saveOpenELM(model: OpenELM, folder: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  const { dtype } = model.norm.weight;
  const config = toHFConfig(model.config, dtype as "f32");
  const path = join(folder, "config.json");
  await writeFile(`${path}.tmp`, `${JSON.stringify(config, null, 2)}\n`);
  await rename(`${path}.tmp`, path);
  await model.save(join(folder, "model.safetensors"), { names: HF_NAMES, metadata: { format: "pt" } });
}
