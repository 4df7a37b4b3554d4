//! GGUF files of llama.cpp's architecture `openelm`.
import { dirname } from "node:path";
import { ConfigError, FormatError } from "@openelm/native";
import type { OpenELMConfig } from "../../openelm/config.js";
import { SourceFile } from "../files/source-file.js";
import { type GgufHeader, readGgufHeader } from "../gguf/read-gguf.js";
import type { GgufMetadata, GgufTensor } from "../gguf/values.js";
import { namedLike } from "../infer-config.js";
import { recode } from "../recode.js";
import { fitted, type ModelSource } from "../source.js";
import { vocabularyFrom } from "../vocabulary/gguf-vocabulary.js";
import { BLOCKS, concatRows, type Encoding, plain, rowBytes, sameEncoding, type Weight } from "../weight.js";
import { companionsIn } from "./folder.js";

/** llama.cpp's name of a tensor, by CoreNet's: what stands in the layers follows `blk.N`. */
export const GGUF_LAYER_NAMES: Readonly<Record<string, string>> = {
  attn_norm: "attn_norm",
  "attn.qkv_proj": "attn_qkv",
  "attn.q_norm": "attn_q_norm",
  "attn.k_norm": "attn_k_norm",
  "attn.out_proj": "attn_output",
  ffn_norm: "ffn_norm",
  "ffn.proj_2": "ffn_down",
};

/** The same outside of layers. */
export const GGUF_NAMES: Readonly<Record<string, string>> = {
  "token_embeddings.weight": "token_embd.weight",
  "norm.weight": "output_norm.weight",
};

/**
 * Opens a GGUF file.
 *
 * @throws FileError if it cannot be read, FormatError naming file and byte if it is not such a file of an OpenELM.
 */
export async function openGguf(path: string): Promise<ModelSource> {
  const file = await SourceFile.open(path);
  try {
    const header = await readGgufHeader(file);
    const found = new Map<string, Weight>();
    for (const tensor of header.tensors) {
      if (found.has(tensor.name)) throw file.bad(0, `two tensors are called ${tensor.name}`);
      found.set(tensor.name, weightOf(file, header, tensor));
    }
    const vocabulary = vocabularyFrom(header.metadata, file);
    const config = configOf(header.metadata, found, file);
    return {
      format: "gguf",
      path,
      config,
      weights: fitted(path, config, renamed(found, config, file)),
      // The file has the vocabulary itself; without one, the folder may.
      companions: vocabulary === undefined ? await companionsIn(dirname(path)) : [],
      vocabulary,
      close: () => file.close(),
    };
  } catch (error) {
    await file.close();
    throw error;
  }
}

const ENCODINGS: Readonly<Record<GgufTensor["type"], Encoding>> = {
  F64: plain("f64"),
  F32: plain("f32"),
  F16: plain("f16"),
  BF16: plain("bf16"),
  Q8_0: { kind: "blocks", format: "Q8_0" },
  Q4_0: { kind: "blocks", format: "Q4_0" },
  Q4_K: { kind: "blocks", format: "Q4_K" },
};

function weightOf(
  file: SourceFile,
  { dataStart }: GgufHeader,
  { name, sizes, type, offset }: GgufTensor,
): Weight {
  const encoding = ENCODINGS[type];
  const [dim = 1, rows = 1, ...more] = sizes;
  const start = dataStart + offset;
  if (more.some((size) => size !== 1)) throw file.bad(start, `${name} has more than two axes`);
  if (encoding.kind === "blocks" && dim % BLOCKS[encoding.format].numbers !== 0) {
    throw file.bad(start, `${name}: rows of ${dim} numbers are not whole ${encoding.format} blocks`);
  }
  const { data } = rowBytes(encoding, dim);
  if (!(start + rows * data <= file.size)) {
    throw file.bad(start, `${name} wants ${rows * data} bytes; the file is cut off`);
  }
  return {
    name,
    shape: sizes.length === 1 ? [dim] : [rows, dim],
    encoding,
    rows: async (from, to) => ({ data: await file.read(start + from * data, (to - from) * data) }),
  };
}

/** The tensors by CoreNet's names; gate and up are the two halves of `proj_1`. */
function renamed(
  found: ReadonlyMap<string, Weight>,
  config: OpenELMConfig,
  file: SourceFile,
): Map<string, Weight> {
  const weights = new Map<string, Weight>();
  const used = new Set<string>();
  const take = (theirs: string): Weight | undefined => {
    used.add(theirs);
    return found.get(theirs);
  };
  const put = (name: string, weight: Weight | undefined): void => {
    if (weight !== undefined) weights.set(name, { ...weight, name });
  };
  for (const [ours, theirs] of Object.entries(GGUF_NAMES)) put(ours, take(theirs));
  for (let i = 0; i < config.layers; i++) {
    for (const [ours, theirs] of Object.entries(GGUF_LAYER_NAMES)) {
      put(`layers.${i}.${ours}.weight`, take(`blk.${i}.${theirs}.weight`));
    }
    const [gate, up] = [take(`blk.${i}.ffn_gate.weight`), take(`blk.${i}.ffn_up.weight`)];
    if (gate === undefined || up === undefined) continue;
    const name = `layers.${i}.ffn.proj_1.weight`;
    const like = sameEncoding(gate.encoding, up.encoding) ? gate.encoding : plain("f32");
    if (gate.shape[1] !== up.shape[1])
      throw file.bad(0, `blk.${i}: ffn_gate and ffn_up have rows of other lengths`);
    put(name, concatRows(name, recode(gate, like), recode(up, like)));
  }
  for (const name of found.keys()) if (!used.has(name)) weights.set(name, found.get(name)!);
  return weights;
}

function configOf(
  metadata: GgufMetadata,
  found: ReadonlyMap<string, Weight>,
  file: SourceFile,
): OpenELMConfig {
  const read = new MetadataReader(metadata, file);
  const architecture = metadata.get("general.architecture")?.value;
  if (architecture !== "openelm") {
    throw file.bad(0, `the file is of a model "${String(architecture)}", not of an openelm`);
  }
  const layers = read.size("openelm.block_count");
  // A hostile count would have lists made that no tensor justifies.
  if (layers > found.size)
    throw file.bad(0, `${layers} layers are announced, but there are ${found.size} tensors`);
  const modelDim = read.size("openelm.embedding_length");
  const queryHeads = read.perLayer("openelm.attention.head_count", layers);
  const kvHeads = read.perLayer("openelm.attention.head_count_kv", layers);
  const widths = read.perLayer("openelm.feed_forward_length", layers);
  const embedding = found.get("token_embd.weight");
  if (embedding === undefined || embedding.shape.length !== 2)
    throw file.bad(0, "token_embd.weight is missing");
  try {
    return namedLike({
      vocabSize: embedding.shape[0]!,
      layers,
      modelDim,
      headDim: read.size("openelm.attention.key_length"),
      headsPerKvHead: queryHeads[0]! / kvHeads[0]!,
      layerShapes: queryHeads.map((heads, i) => ({
        queryHeads: heads,
        kvHeads: kvHeads[i]!,
        feedForwardDim: widths[i]!,
      })),
      qkNorm: found.has("blk.0.attn_q_norm.weight"),
      eps: rounded(read.number("openelm.attention.layer_norm_rms_epsilon", 1e-6)),
      ropeBase: read.number("openelm.rope.freq_base", 10000),
      maxContextLength: read.size("openelm.context_length", 2048),
      bosId: read.number("tokenizer.ggml.bos_token_id", 1),
      eosId: read.number("tokenizer.ggml.eos_token_id", 2),
    });
  } catch (cause) {
    if (!(cause instanceof ConfigError)) throw cause;
    throw new FormatError(`${file.path}: ${cause.message}`, { path: file.path, cause });
  }
}

/** An f32 as the decimal number that it was made from: 1e-6 and not 0.000000999999997. */
const rounded = (value: number): number => Number(value.toPrecision(7));

/** Values of the file by key and type. */
class MetadataReader {
  readonly #metadata: GgufMetadata;
  readonly #file: SourceFile;

  constructor(metadata: GgufMetadata, file: SourceFile) {
    this.#metadata = metadata;
    this.#file = file;
  }

  number(key: string, fallback?: number): number {
    const value = this.#metadata.get(key)?.value ?? fallback;
    if (typeof value === "number" && Number.isFinite(value)) return value;
    throw this.#file.bad(0, `${key} must be a number, got ${String(value)}`);
  }

  size(key: string, fallback?: number): number {
    const value = this.number(key, fallback);
    if (Number.isSafeInteger(value) && value >= 1) return value;
    throw this.#file.bad(0, `${key} must be a whole number above 0, got ${value}`);
  }

  /** One number a layer, or one for all of them. */
  perLayer(key: string, layers: number): number[] {
    const entry = this.#metadata.get(key);
    const list = entry?.type === "array" ? entry.value : Array.from({ length: layers }, () => entry?.value);
    const isList = list.length === layers && list.every((n) => Number.isSafeInteger(n) && (n as number) >= 1);
    if (isList) return [...list] as number[];
    throw this.#file.bad(0, `${key} must be a number above 0 for each of ${layers} layers`);
  }
}
