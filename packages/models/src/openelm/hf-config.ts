//! `config.json` of the Hugging Face port of OpenELM.
import { FormatError } from "@openelm/native";
import type { Activation } from "@openelm/nn";
import { type OpenELMConfig, openelmConfig } from "./config.js";

/** The keys of `config.json` that say what the model is. */
export interface HFConfig {
  readonly [key: string]: unknown;
}

const DTYPE_NAMES = { f32: "float32", bf16: "bfloat16", f16: "float16", f64: "float64" } as const;

/** What goes into `config.json` for a model whose weights have `dtype`. */
export function toHFConfig(config: OpenELMConfig, dtype: keyof typeof DTYPE_NAMES = "f32"): HFConfig {
  const { layerShapes, layers } = config;
  const pair = (multipliers: number | readonly number[]): readonly number[] => {
    const list = [multipliers].flat() as number[];
    return list.length === 1 ? [list[0]!, list[0]!] : list;
  };
  const expanded = (multipliers: number | readonly number[]): number[] => {
    const list = [multipliers].flat() as number[];
    if (list.length === layers && layers !== 2) return list;
    const [first, last] = [list[0]!, list.at(-1)!];
    return layerShapes.map(
      (_, i) => Math.round((first + ((last - first) * i) / Math.max(layers - 1, 1)) * 100) / 100,
    );
  };
  return {
    activation_fn_name: config.activation,
    architectures: ["OpenELMForCausalLM"],
    bos_token_id: config.bosId,
    eos_token_id: config.eosId,
    ffn_dim_divisor: config.feedForwardDivisor,
    ffn_multipliers: expanded(config.feedForward),
    ffn_with_glu: config.glu,
    head_dim: config.headDim,
    initializer_range: 0.02,
    max_context_length: config.maxContextLength,
    model_dim: config.modelDim,
    model_type: "openelm",
    normalization_layer_name: "rms_norm",
    normalize_qk_projections: config.qkNorm,
    num_gqa_groups: config.headsPerKvHead,
    num_kv_heads: layerShapes.map(({ kvHeads }) => kvHeads),
    num_query_heads: layerShapes.map(({ queryHeads }) => queryHeads),
    num_transformer_layers: layers,
    ...(config.paddingIndex === undefined ? {} : { pad_token_id: config.paddingIndex }),
    qkv_multipliers: pair(config.attention),
    rope_freq_constant: config.ropeBase,
    rope_max_length: config.maxContextLength * 2,
    share_input_output_layers: config.tied,
    torch_dtype: DTYPE_NAMES[dtype],
    transformers_version: "4.39.3",
    use_cache: true,
    vocab_size: config.vocabSize,
  };
}

/**
 * Reads `config.json`.
 *
 * Feed-forward multipliers may be the pair or one a layer; head lists are taken from the file where it has them.
 *
 * @throws FormatError naming the file and the key.
 */
export function fromHFConfig(json: HFConfig, path = "config.json"): OpenELMConfig {
  const bad = (key: string, what: string): FormatError =>
    new FormatError(`${path}: ${key} must be ${what}, got ${JSON.stringify(json[key]) ?? "nothing"}`, {
      path,
    });
  const number = (key: string, fallback?: number): number => {
    const value = json[key] ?? fallback;
    if (typeof value !== "number" || !Number.isFinite(value)) throw bad(key, "a number");
    return value;
  };
  const boolean = (key: string, fallback: boolean): boolean => {
    const value = json[key] ?? fallback;
    if (typeof value !== "boolean") throw bad(key, "true or false");
    return value;
  };
  const multipliers = (key: string): number | readonly number[] => {
    const value = json[key];
    if (typeof value === "number") return value;
    if (!Array.isArray(value) || value.some((item) => typeof item !== "number"))
      throw bad(key, "a number or a list of numbers");
    return value as number[];
  };
  if (json.model_type !== "openelm") throw bad("model_type", '"openelm"');
  if ((json.normalization_layer_name ?? "rms_norm") !== "rms_norm")
    throw bad("normalization_layer_name", '"rms_norm"');
  const padding = json.pad_token_id;
  const config = openelmConfig({
    vocabSize: number("vocab_size"),
    layers: number("num_transformer_layers"),
    modelDim: number("model_dim"),
    headDim: number("head_dim"),
    headsPerKvHead: number("num_gqa_groups", 1),
    attention: multipliers("qkv_multipliers"),
    feedForward: multipliers("ffn_multipliers"),
    feedForwardDivisor: number("ffn_dim_divisor", 256),
    glu: boolean("ffn_with_glu", true),
    activation: (json.activation_fn_name ?? "swish") as Activation,
    qkNorm: boolean("normalize_qk_projections", false),
    tied: boolean("share_input_output_layers", false),
    ropeBase: number("rope_freq_constant", 10000),
    maxContextLength: number("max_context_length", 2048),
    bosId: number("bos_token_id", 1),
    eosId: number("eos_token_id", 2),
    ...(typeof padding === "number" ? { paddingIndex: padding } : {}),
  });
  return withHeads(config, json, bad);
}

/** Heads as the file lists them, which may differ from what its multipliers give. */
function withHeads(
  config: OpenELMConfig,
  json: HFConfig,
  bad: (key: string, what: string) => FormatError,
): OpenELMConfig {
  const list = (key: string): readonly number[] | undefined => {
    const value = json[key];
    if (value === undefined) return undefined;
    const isList =
      Array.isArray(value) &&
      value.length === config.layers &&
      value.every((n) => Number.isInteger(n) && n > 0);
    if (!isList) throw bad(key, `a list of ${config.layers} whole numbers`);
    return value as number[];
  };
  const [query, kv] = [list("num_query_heads"), list("num_kv_heads")];
  if (query === undefined && kv === undefined) return config;
  const layerShapes = config.layerShapes.map((shape, i) => ({
    ...shape,
    queryHeads: query?.[i] ?? shape.queryHeads,
    kvHeads: kv?.[i] ?? shape.kvHeads,
  }));
  if (layerShapes.some(({ queryHeads, kvHeads }) => queryHeads % kvHeads !== 0)) {
    throw bad("num_kv_heads", "divisors of num_query_heads");
  }
  return { ...config, layerShapes };
}
