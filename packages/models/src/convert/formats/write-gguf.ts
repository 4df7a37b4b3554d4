import { basename } from "node:path";
import { UsageError } from "@openelm/native";
import type { OpenELMConfig } from "../../openelm/config.js";
import { NewFile } from "../files/new-file.js";
import { ALIGNMENT, alignedTo, type GgufTensor, type GgufValue, type TensorType } from "../gguf/values.js";
import { ggufHeader } from "../gguf/write-gguf-header.js";
import { recode } from "../recode.js";
import type { ModelSource } from "../source.js";
import { type GgufVocabulary, vocabularyMetadata } from "../vocabulary/gguf-vocabulary.js";
import {
  BLOCKS,
  byteLength,
  type Encoding,
  type FloatName,
  plain,
  rowCount,
  rowLength,
  slice,
  type Weight,
} from "../weight.js";
import { eachPart, type Watch } from "../write-weight.js";
import { GGUF_LAYER_NAMES, GGUF_NAMES } from "./gguf.js";

/** Encodings that are written. */
export type GgufEncoding = "f32" | "f16" | "bf16" | "q8_0" | "q4_0";

/** Numbers that llama.cpp has for what most tensors of a file are encoded as. */
const FILE_TYPES: Readonly<Record<GgufEncoding, number>> = { f32: 0, f16: 1, q4_0: 2, q8_0: 7, bf16: 32 };

/**
 * Weights as GGUF has them: matrices in the given encoding, norms in f32, and `proj_1` in two.
 *
 * @throws UsageError if the model has what llama.cpp's architecture has not.
 */
export function ggufWeights(source: ModelSource, encoding: GgufEncoding): Weight[] {
  const { config } = source;
  if (!config.tied)
    throw new UsageError("llama.cpp's openelm has no output layer beside the embedding, this model has");
  if (!config.glu || config.activation !== "swish" || !config.qkNorm) {
    throw new UsageError(
      "llama.cpp's openelm has gated swish layers and norms of queries and keys; this model differs",
    );
  }
  const weights: Weight[] = [];
  for (const weight of source.weights.values()) {
    for (const part of partsOf(weight)) weights.push(recode(part, encodingFor(part, encoding)));
  }
  return weights;
}

/** A weight under llama.cpp's name, or the two that it becomes there. */
function partsOf(weight: Weight): Weight[] {
  const [, layer, rest] = /^layers\.(\d+)\.(.+)\.weight$/.exec(weight.name) ?? [];
  if (layer === undefined || rest === undefined) return [{ ...weight, name: GGUF_NAMES[weight.name]! }];
  if (rest !== "ffn.proj_1") return [{ ...weight, name: `blk.${layer}.${GGUF_LAYER_NAMES[rest]}.weight` }];
  const rows = rowCount(weight);
  return [
    slice(weight, `blk.${layer}.ffn_gate.weight`, 0, rows / 2),
    slice(weight, `blk.${layer}.ffn_up.weight`, rows / 2, rows),
  ];
}

function encodingFor(weight: Weight, wanted: GgufEncoding): Encoding {
  if (weight.shape.length < 2) return plain("f32");
  if (wanted !== "q8_0" && wanted !== "q4_0") return plain(wanted);
  const format = wanted === "q8_0" ? "Q8_0" : "Q4_0";
  // Rows that are no whole blocks stay halves, as llama.cpp leaves them.
  return rowLength(weight) % BLOCKS[format].numbers === 0 ? { kind: "blocks", format } : plain("f16");
}

const TYPES: Readonly<Record<FloatName, TensorType>> = { f64: "F64", f32: "F32", f16: "F16", bf16: "BF16" };

/** Writes weights of {@link ggufWeights} with what llama.cpp wants to know of the model. */
export async function writeGguf(
  source: ModelSource,
  weights: readonly Weight[],
  vocabulary: GgufVocabulary | undefined,
  encoding: GgufEncoding,
  path: string,
  watch: Watch,
): Promise<void> {
  const tensors: GgufTensor[] = [];
  let offset = 0;
  for (const weight of weights) {
    const { encoding } = weight;
    if (encoding.kind === "affine") throw new Error("GGUF holds no affine groups");
    const type = encoding.kind === "blocks" ? encoding.format : TYPES[encoding.dtype];
    const sizes = weight.shape.length < 2 ? [rowLength(weight)] : [rowLength(weight), rowCount(weight)];
    tensors.push({ name: weight.name, sizes, type, offset });
    offset = alignedTo(offset + byteLength(weight), ALIGNMENT);
  }
  const metadata = new Map([
    ...modelMetadata(source.config, basename(source.path).replace(/\.\w+$/, ""), encoding),
    ...vocabularyMetadata(vocabulary, source.config),
  ]);
  const header = ggufHeader(metadata, tensors);
  await NewFile.write(path, async (file) => {
    await file.append(header);
    for (const [i, weight] of weights.entries()) {
      await file.append(new Uint8Array(header.length + tensors[i]!.offset - file.end));
      await eachPart(weight, watch, ({ data }) => file.append(data));
    }
    await file.append(new Uint8Array(header.length + offset - file.end));
  });
}

function modelMetadata(config: OpenELMConfig, name: string, encoding: GgufEncoding): [string, GgufValue][] {
  const u32 = (value: number): GgufValue => ({ type: "u32", value });
  const f32 = (value: number): GgufValue => ({ type: "f32", value });
  const list = (pick: (shape: OpenELMConfig["layerShapes"][number]) => number): GgufValue => ({
    type: "array",
    of: "i32",
    value: config.layerShapes.map(pick),
  });
  return [
    ["general.architecture", { type: "string", value: "openelm" }],
    ["general.type", { type: "string", value: "model" }],
    ["general.name", { type: "string", value: name }],
    ["general.quantization_version", u32(2)],
    ["general.file_type", u32(FILE_TYPES[encoding])],
    ["openelm.vocab_size", u32(config.vocabSize)],
    ["openelm.block_count", u32(config.layers)],
    ["openelm.context_length", u32(config.maxContextLength)],
    ["openelm.embedding_length", u32(config.modelDim)],
    ["openelm.feed_forward_length", list(({ feedForwardDim }) => feedForwardDim)],
    ["openelm.attention.head_count", list(({ queryHeads }) => queryHeads)],
    ["openelm.attention.head_count_kv", list(({ kvHeads }) => kvHeads)],
    ["openelm.attention.key_length", u32(config.headDim)],
    ["openelm.attention.value_length", u32(config.headDim)],
    ["openelm.attention.layer_norm_rms_epsilon", f32(config.eps)],
    ["openelm.rope.dimension_count", u32(config.headDim)],
    ["openelm.rope.freq_base", f32(config.ropeBase)],
  ];
}
