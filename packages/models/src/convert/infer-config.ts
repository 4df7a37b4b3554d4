//! The configuration of a model of which there are only tensors.
import { ConfigError, FormatError } from "@openelm/native";
import { OPENELM_SIZES, type OpenELMConfig, type OpenELMOptions, openelmConfig } from "../openelm/config.js";
import type { LayerShape } from "../openelm/layerwise-scaling.js";

type Shapes = ReadonlyMap<string, readonly number[]>;

/** What tensors do not tell. */
export type ConfigHints = Partial<
  Pick<
    OpenELMOptions,
    | "headDim"
    | "activation"
    | "ropeBase"
    | "maxContextLength"
    | "eps"
    | "bosId"
    | "eosId"
    | "feedForwardDivisor"
  >
>;

/**
 * The configuration that tensors with these shapes (by CoreNet's names) belong to. Multipliers are those of the
 * published size with the same layers, where there is one.
 *
 * @throws FormatError naming the tensor that no OpenELM has.
 */
export function inferConfig(path: string, shapes: Shapes, hints: ConfigHints = {}): OpenELMConfig {
  const bad = (what: string): FormatError => new FormatError(`${path}: ${what}`, { path });
  const matrix = (name: string): readonly [number, number] => {
    const shape = shapes.get(name);
    if (shape === undefined) throw bad(`${name} is missing, which every OpenELM has`);
    if (shape.length !== 2) throw bad(`${name} has shape [${shape.join(", ")}], a matrix is wanted`);
    return shape as [number, number];
  };
  const [vocabSize, modelDim] = matrix("token_embeddings.weight");
  const headDim = shapes.get("layers.0.attn.q_norm.weight")?.[0] ?? hints.headDim;
  if (headDim === undefined) {
    throw bad("the size of heads cannot be told, since there is no q_norm; give the configuration");
  }
  const layerShapes: LayerShape[] = [];
  let glu = true;
  for (let i = 0; shapes.has(`layers.${i}.attn.qkv_proj.weight`); i++) {
    const [qkv] = matrix(`layers.${i}.attn.qkv_proj.weight`);
    const [, attention] = matrix(`layers.${i}.attn.out_proj.weight`);
    const [inner] = matrix(`layers.${i}.ffn.proj_1.weight`);
    const [, feedForwardDim] = matrix(`layers.${i}.ffn.proj_2.weight`);
    const [queryHeads, kvHeads] = [attention / headDim, (qkv - attention) / (2 * headDim)];
    glu = inner === 2 * feedForwardDim;
    if (![queryHeads, kvHeads, queryHeads / kvHeads].every((n) => Number.isInteger(n) && n >= 1)) {
      throw bad(`layers.${i}: ${qkv} and ${attention} are no whole numbers of heads of ${headDim}`);
    }
    layerShapes.push({ queryHeads, kvHeads, feedForwardDim });
  }
  if (layerShapes.length === 0)
    throw bad("layers.0.attn.qkv_proj.weight is missing, which every OpenELM has");
  const [{ queryHeads, kvHeads }] = layerShapes as [LayerShape];
  try {
    return namedLike({
      ...hints,
      vocabSize,
      modelDim,
      headDim,
      layers: layerShapes.length,
      headsPerKvHead: queryHeads / kvHeads,
      layerShapes,
      glu,
      qkNorm: shapes.has("layers.0.attn.q_norm.weight"),
      tied: !shapes.has("classifier.weight"),
    });
  } catch (cause) {
    if (!(cause instanceof ConfigError)) throw cause;
    throw new FormatError(`${path}: ${cause.message}`, { path, cause });
  }
}

/** The options with multipliers: those of a named size of these layers, else what the layers' widths come to. */
export function namedLike(
  options: OpenELMOptions & { readonly layerShapes: readonly LayerShape[] },
): OpenELMConfig {
  const { layers, modelDim, headDim, layerShapes } = options;
  for (const size of Object.values(OPENELM_SIZES) as OpenELMOptions[]) {
    if (size.layers !== layers || size.modelDim !== modelDim || size.headDim !== headDim) continue;
    const named = openelmConfig(size);
    if (named.layerShapes.every((shape, i) => sameShape(shape, layerShapes[i]!))) {
      const { headsPerKvHead, attention, feedForward, feedForwardDivisor } = named;
      return openelmConfig({ ...options, headsPerKvHead, attention, feedForward, feedForwardDivisor });
    }
  }
  return openelmConfig({
    ...options,
    attention: layerShapes.map(({ queryHeads }) => (queryHeads * headDim) / modelDim),
  });
}

const sameShape = (a: LayerShape, b: LayerShape): boolean =>
  a.queryHeads === b.queryHeads && a.kvHeads === b.kvHeads && a.feedForwardDim === b.feedForwardDim;
