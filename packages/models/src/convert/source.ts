import { FormatError } from "@openelm/native";
import type { OpenELMConfig } from "../openelm/config.js";
import type { GgufVocabulary } from "./vocabulary/gguf-vocabulary.js";
import type { Weight } from "./weight.js";

/** Forms that a model's files have. */
export type ModelFormat = "hf" | "corenet" | "mlx" | "gguf";

/** A safetensors file as it was found, so that the same tensors can be put in the same places again. */
export interface FileLayout {
  readonly name: string;
  /** Length and JSON, byte for byte. */
  readonly header: Uint8Array;
}

/** What of a folder's files is no weight and no tokenizer. */
export interface FolderLayout {
  readonly format: ModelFormat;
  /** `config.json` as it stands. */
  readonly config: string;
  readonly files: readonly FileLayout[];
  /** `model.safetensors.index.json` as it stands. */
  readonly index?: string | undefined;
}

/** A model in files, of which only headers have been read. */
export interface ModelSource {
  readonly format: ModelFormat;
  readonly path: string;
  readonly config: OpenELMConfig;
  /** By CoreNet's names; all that the configuration wants, and no more. */
  readonly weights: ReadonlyMap<string, Weight>;
  /** Files beside the weights that belong to the model, such as its tokenizer. */
  readonly companions: readonly string[];
  /** Where the source is a folder: how it lies, and how the one lay that it was made from. */
  readonly layouts?: readonly FolderLayout[] | undefined;
  /** The vocabulary, where the weights' file holds it. */
  readonly vocabulary?: GgufVocabulary | undefined;
  close(): Promise<void>;
}

/** Shapes of all tensors that a model has, by CoreNet's names, in the order of its layers. */
export function expectedShapes(config: OpenELMConfig): Map<string, readonly number[]> {
  const { vocabSize, modelDim, headDim, glu, qkNorm, tied } = config;
  const shapes = new Map<string, readonly number[]>([["token_embeddings.weight", [vocabSize, modelDim]]]);
  for (const [i, { queryHeads, kvHeads, feedForwardDim }] of config.layerShapes.entries()) {
    const put = (name: string, ...shape: number[]): unknown =>
      shapes.set(`layers.${i}.${name}.weight`, shape);
    put("attn_norm", modelDim);
    put("attn.qkv_proj", (queryHeads + 2 * kvHeads) * headDim, modelDim);
    if (qkNorm) {
      put("attn.q_norm", headDim);
      put("attn.k_norm", headDim);
    }
    put("attn.out_proj", modelDim, queryHeads * headDim);
    put("ffn_norm", modelDim);
    put("ffn.proj_1", glu ? 2 * feedForwardDim : feedForwardDim, modelDim);
    put("ffn.proj_2", modelDim, feedForwardDim);
  }
  shapes.set("norm.weight", [modelDim]);
  if (!tied) shapes.set("classifier.weight", [vocabSize, modelDim]);
  return shapes;
}

/** Tensors that some programs save and that follow from the configuration. */
const DERIVED = /(?:^|\.)(?:causal_mask|inv_freq|pos_embedding\.[\w.]+|rope\.[\w.]+)$/;

/**
 * The weights that a configuration wants, in its order.
 *
 * @throws FormatError naming the tensors that are missing, left over or of another shape.
 */
export function fitted(
  path: string,
  config: OpenELMConfig,
  found: ReadonlyMap<string, Weight>,
): Map<string, Weight> {
  const problems: string[] = [];
  const weights = new Map<string, Weight>();
  const expected = expectedShapes(config);
  for (const [name, shape] of expected) {
    const weight = found.get(name);
    if (weight === undefined) problems.push(`${name} is missing`);
    else if (weight.shape.join() !== shape.join()) {
      problems.push(
        `${name} has shape [${weight.shape.join(", ")}], the configuration wants [${shape.join(", ")}]`,
      );
    } else weights.set(name, weight);
  }
  for (const name of found.keys()) {
    if (!expected.has(name) && !DERIVED.test(name)) problems.push(`${name} belongs to no layer`);
  }
  if (problems.length === 0) return weights;
  const shown = problems.slice(0, 8).join("\n  ");
  const more = problems.length > 8 ? `\n  and ${problems.length - 8} more` : "";
  throw new FormatError(`${path} does not fit its configuration:\n  ${shown}${more}`, { path });
}
