//! From one form of a model's files to another.
import { stat } from "node:fs/promises";
import { resolve } from "node:path";
import { UsageError } from "@openelm/native";
import { disposeAdapter } from "../adapters/adapter-file.js";
import { mergedSource } from "../adapters/merged-source.js";
import { readAdapter } from "../adapters/read-adapter.js";
import { checkOptions } from "./check-options.js";
import { toHFName } from "./formats/folder.js";
import { writeCoreNet } from "./formats/write-corenet.js";
import { writeFolder } from "./formats/write-folder.js";
import { type GgufEncoding, ggufWeights, writeGguf } from "./formats/write-gguf.js";
import { type OpenModelOptions, openModel } from "./open-model.js";
import { plainDtype, recode } from "./recode.js";
import type { ModelFormat, ModelSource } from "./source.js";
import { readVocabulary } from "./vocabulary/read-vocabulary.js";
import { usualSize, type VocabularySize, withVocabulary } from "./vocabulary/size.js";
import {
  byteLength,
  type Encoding,
  plain,
  rowCount,
  rowLength,
  type ScaleName,
  type Weight,
} from "./weight.js";
import type { ConvertProgress, Watch } from "./write-weight.js";

/** How matrices are rounded to codes of MLX's kind. */
export interface CodeOptions {
  /** Bits of a code, 2 to 8. */
  readonly bits: number;
  /** Weights that share a scale: 32, 64 or 128. */
  readonly group: number;
  /** Layers that stay as they are: those whose name in the folder, such as `transformer.layers.0.ffn.proj_1`, matches one. */
  readonly keep?: readonly RegExp[] | undefined;
}

/** Options of {@link convertModel}. */
export interface ConvertOptions extends OpenModelOptions {
  readonly to: ModelFormat;
  /** Dtype of the weights, or of the scales where they are quantized. Default: as in the source. */
  readonly dtype?: ScaleName | undefined;
  /** Rounds the matrices of an MLX folder to codes. Default: as in the source. */
  readonly quantize?: CodeOptions | undefined;
  /** Folder of an adapter, of PEFT or mlx-lm, that is merged into the weights. Default: none. */
  readonly adapter?: string | undefined;
  /** Encoding of a GGUF file's matrices. Default: that of the source, where GGUF has it. */
  readonly encoding?: GgufEncoding | undefined;
  /** How many tokens there are. Default: 32000 of 32001 or 32128, except in CoreNet's form; otherwise as in the source. */
  readonly vocabulary?: VocabularySize | undefined;
  /** A tokenizer's file that goes with the model. Default: what lies beside the source. */
  readonly tokenizer?: string | undefined;
  /** Whether what is there already is replaced. Default `false`. */
  readonly replace?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: ConvertProgress) => void) | undefined;
}

/** What was made. */
export interface Converted {
  readonly from: ModelFormat;
  readonly to: ModelFormat;
  readonly parameters: number;
  /** Of the weights. */
  readonly bytes: number;
  readonly vocabSize: number;
  /** What the other program will miss. */
  readonly note?: string | undefined;
}

/**
 * Converts a model: the source is recognised by what is in it, the destination appears when it is whole.
 *
 * Weights go through memory some rows at a time, so less than twice the largest tensor is ever held.
 *
 * @throws FileError, FormatError naming file and byte; UsageError if the model has what the wanted form cannot hold.
 * @example
 * ```ts no-run
 * await convertModel("OpenELM-270M", "openelm-270m.gguf", { to: "gguf", encoding: "q8_0" });
 * ```
 */
export async function convertModel(
  source: string,
  destination: string,
  options: ConvertOptions,
): Promise<Converted> {
  const { to } = options;
  refuseSame(source, destination);
  await checkOptions(options);
  const isFile = to === "corenet" || to === "gguf";
  if (isFile) await refuseExisting(destination, options.replace ?? false);
  const adapter = options.adapter === undefined ? undefined : await readAdapter(options.adapter);
  const opened = await openModel(source, options);
  try {
    const model = adapter === undefined ? opened : mergedSource(opened, adapter);
    return await writeModel(model, destination, options);
  } finally {
    if (adapter !== undefined) disposeAdapter(adapter);
    await opened.close();
  }
}

/** Writes a model that has been opened; the caller closes it. */
export async function writeModel(
  opened: ModelSource,
  destination: string,
  options: ConvertOptions,
): Promise<Converted> {
  const { to } = options;
  const wanted = options.vocabulary ?? usualSize(opened, to === "corenet");
  const model = withTokenizer(withVocabulary(opened, wanted), options.tokenizer);
  return (to === "gguf" ? toGguf : toWeights)(model, destination, options);
}

/** @throws UsageError if a model would be written over itself. */
export function refuseSame(source: string, destination: string): void {
  if (resolve(source) !== resolve(destination)) return;
  throw new UsageError(`the source and the destination are both ${source}; write elsewhere`);
}

async function refuseExisting(path: string, replace: boolean): Promise<void> {
  const stats = await stat(path).catch(() => undefined);
  if (stats === undefined) return;
  if (stats.isDirectory()) throw new UsageError(`${path} is a folder; this form is one file, so name one`);
  if (!replace) throw new UsageError(`${path} exists; choose another place or allow it to be replaced`);
}

function withTokenizer(source: ModelSource, tokenizer: string | undefined): ModelSource {
  if (tokenizer === undefined) return source;
  const others = source.companions.filter((file) => !/tokenizer\.(?:json|model)$/.test(file));
  return { ...source, companions: [...others, tokenizer], vocabulary: undefined };
}

async function toGguf(source: ModelSource, path: string, options: ConvertOptions): Promise<Converted> {
  const encoding = options.encoding ?? options.dtype ?? usualEncoding(source);
  const weights = ggufWeights(source, encoding);
  const vocabulary = source.vocabulary ?? (await readVocabulary(source.companions));
  await writeGguf(source, weights, vocabulary, encoding, path, watch(weights, options));
  return { ...summary(source, "gguf", weights), ...(vocabulary === undefined ? { note: NO_TOKENIZER } : {}) };
}

const NO_TOKENIZER =
  "no tokenizer.model or tokenizer.json was found, so the file has none and takes ids alone; name one as the tokenizer";

/** The encoding of the source's matrices where GGUF has it, else that of the numbers that their codes stand for. */
function usualEncoding({ weights }: ModelSource): GgufEncoding {
  const { encoding } = weights.get("layers.0.attn.qkv_proj.weight")!;
  if (encoding.kind === "blocks" && encoding.format !== "Q4_K")
    return encoding.format === "Q8_0" ? "q8_0" : "q4_0";
  return plainDtype(encoding);
}

async function toWeights(source: ModelSource, path: string, options: ConvertOptions): Promise<Converted> {
  const { to, replace = false } = options;
  const weights = new Map(
    Array.from(source.weights, ([name, weight]) => [name, recode(weight, encodingFor(weight, options))]),
  );
  const model = { ...source, weights };
  const all = [...weights.values()];
  if (to === "corenet") await writeCoreNet(model, path, watch(all, options));
  else await writeFolder(model, { path, format: to as "hf" | "mlx", replace }, watch(all, options));
  return summary(model, to, all);
}

function encodingFor(weight: Weight, { to, dtype, quantize }: ConvertOptions): Encoding {
  const { encoding } = weight;
  const numbers = plain(dtype ?? plainDtype(encoding));
  if (to !== "mlx" || weight.shape.length < 2) return numbers;
  if (quantize !== undefined) {
    if (!isRounded(weight, quantize)) return numbers;
    const { bits, group } = quantize;
    return { kind: "affine", bits, group, scales: dtype ?? plainDtype(encoding) };
  }
  if (dtype !== undefined) return numbers;
  if (encoding.kind === "affine") return encoding;
  // One scale and a fixed zero are a group of 32 with f16 scales, which MLX has as well.
  if (encoding.kind === "blocks" && encoding.format !== "Q4_K") {
    return { kind: "affine", bits: encoding.format === "Q8_0" ? 8 : 4, group: 32, scales: "f16" };
  }
  return numbers;
}

/** Whether a weight becomes codes: matrices do whose rows are whole groups, as with mlx-lm, unless they are to be kept. */
export function isRounded(weight: Weight, { group, keep = [] }: CodeOptions): boolean {
  if (weight.shape.length < 2 || rowLength(weight) % group !== 0) return false;
  const layer = layerName(weight.name);
  return !keep.some((pattern) => layer.search(pattern) >= 0);
}

/** The layer of a weight as folders name it. */
export const layerName = (weight: string): string => toHFName(weight).replace(/\.weight$/, "");

/** Counts the bytes that are written, and stops where the caller wants it. */
function watch(weights: readonly Weight[], { signal, onProgress }: ConvertOptions): Watch {
  const total = weights.reduce((sum, weight) => sum + byteLength(weight), 0);
  let done = 0;
  signal?.throwIfAborted();
  return {
    wrote(bytes) {
      signal?.throwIfAborted();
      done += bytes;
      onProgress?.({ phase: "convert", done, total, unit: "bytes" });
    },
  };
}

const summary = (source: ModelSource, to: ModelFormat, weights: readonly Weight[]): Converted => ({
  from: source.format,
  to,
  parameters: weights.reduce((sum, weight) => sum + rowCount(weight) * rowLength(weight), 0),
  bytes: weights.reduce((sum, weight) => sum + byteLength(weight), 0),
  vocabSize: source.config.vocabSize,
});
