//! Writes models as folders: what the Hugging Face port and mlx-lm have in common.
import { copyFile, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { FormatError } from "@openelm/native";
import { toHFConfig } from "../../openelm/hf-config.js";
import { quantizationJson } from "../../openelm/quantization.js";
import { newFolder } from "../files/new-folder.js";
import { writeSafetensors } from "../files/safetensors-writer.js";
import type { FolderLayout, ModelSource } from "../source.js";
import { writeVocabulary } from "../vocabulary/write-vocabulary.js";
import type { FloatName } from "../weight.js";
import type { Watch } from "../write-weight.js";
import { toHFName } from "./folder.js";
import { writeOrigin } from "./origin.js";

/** Where a folder goes. */
export interface FolderTarget {
  readonly path: string;
  readonly format: "hf" | "mlx";
  /** Whether a folder that is there is replaced. */
  readonly replace: boolean;
}

/** Writes a source, whose weights are encoded as they shall be, into a folder. */
export async function writeFolder(
  source: ModelSource,
  { path, format, replace }: FolderTarget,
  watch: Watch,
): Promise<void> {
  await newFolder(path, { replace }, async (folder) => {
    const weights = Array.from(source.weights.values(), (weight) => ({
      weight,
      fileName: toHFName(weight.name),
    }));
    const layout = source.layouts?.find((known) => known.format === format);
    const metadata = { format: format === "hf" ? "pt" : "mlx" };
    const followed = await writeSafetensors(folder, weights, metadata, layout?.files, watch);
    for (const file of source.companions) await copyFile(file, join(folder, nameBeside(file)));
    await writeVocabulary(source, folder);
    if (followed && layout?.index !== undefined) {
      await writeFile(join(folder, "model.safetensors.index.json"), layout.index);
    }
    const origin = originOf(source, format);
    if (origin !== undefined) await writeOrigin(folder, origin);
    await writeFile(join(folder, "config.json"), configText(source, format, followed ? layout : undefined));
  });
}

/** Where programs look for it: SentencePiece's models have any name before the dot. */
const nameBeside = (file: string): string =>
  /^(?!tokenizer).*\.model$/.test(basename(file)) ? "tokenizer.model" : basename(file);

/** The other form that the model came from: the source itself, or what the source was made from. */
const originOf = ({ layouts = [] }: ModelSource, format: "hf" | "mlx"): FolderLayout | undefined =>
  layouts.find((layout) => layout.format !== format);

/** `config.json`: that of the layout that was followed, else the keys that are known with what is true of the new files. */
function configText(source: ModelSource, format: "hf" | "mlx", same: FolderLayout | undefined): string {
  if (same !== undefined) return same.config;
  const affine = new Map<string, { bits: number; group: number }>();
  let dtype: FloatName = "f32";
  for (const { name, encoding } of source.weights.values()) {
    if (encoding.kind === "affine") affine.set(toHFName(name).replace(/\.weight$/, ""), encoding);
    // Norms have the dtype that a model computes in.
    if (encoding.kind === "plain") dtype = encoding.dtype;
  }
  const own = toHFConfig(source.config, dtype);
  const before = source.layouts?.[0]?.config;
  const {
    quantization: _q,
    quantization_config: _c,
    ...known
  } = before === undefined ? {} : (JSON.parse(before) as Record<string, unknown>);
  // Keys that are not ours stay, such as those that name the port's code.
  const kept = "model_type" in known ? { ...own, ...known } : own;
  const json: Record<string, unknown> = {
    ...kept,
    vocab_size: own.vocab_size,
    torch_dtype: own.torch_dtype,
    ...(own.pad_token_id === undefined ? {} : { pad_token_id: own.pad_token_id }),
  };
  // mlx-lm takes one multiplier a layer, which the pair of its ends is not.
  if (format === "mlx") json.ffn_multipliers = own.ffn_multipliers;
  if (affine.size > 0) {
    json.quantization = quantizationJson(affine);
    json.quantization_config = json.quantization;
  }
  const sorted = Object.entries(json).sort(([a], [b]) => (a < b ? -1 : 1));
  try {
    return `${JSON.stringify(Object.fromEntries(sorted), null, 2)}\n`;
  } catch (cause) {
    // JSON is read to any depth, but not written.
    const { path } = source;
    throw new FormatError(`${path}: its configuration is nested too deep: ${(cause as Error).message}`, {
      path,
      cause,
    });
  }
}
