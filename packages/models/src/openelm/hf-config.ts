//! `config.json` of the Hugging Face port of OpenELM.
import { ConfigError, FormatError, isOpenELMError } from "@openelm/native";
import { ACTIVATIONS, type Activation } from "@openelm/nn";
import type { DType } from "@openelm/tensor";
import { shown } from "../convert/shown.js";
import { type OpenELMConfig, openelmConfig } from "./config.js";
import { expandMultipliers, layerwiseScaling, type Multipliers } from "./layerwise-scaling.js";

/** The keys of `config.json` that say what the model is. */
export interface HFConfig {
  readonly [key: string]: unknown;
}

const DTYPE_NAMES: Partial<Record<DType, string>> = {
  f32: "float32",
  bf16: "bfloat16",
  f16: "float16",
  f64: "float64",
};

/** Activations that Transformers calls otherwise. */
const ACTIVATION_NAMES: Partial<Record<Activation, string>> = { gelu_tanh: "gelu_pytorch_tanh" };

const EPS = 1e-6;
/** A hundred times the layers of the largest OpenELM. */
const MAX_LAYERS = 4096;

/**
 * What goes into `config.json` for a model whose weights have `dtype`.
 *
 * @throws ConfigError if `dtype` is no float.
 * @example
 * ```ts
 * toHFConfig(openelmConfig("OpenELM-270M"), "bf16").num_query_heads; // [12, 12, …, 20]
 * ```
 */
export function toHFConfig(config: OpenELMConfig, dtype: DType = "f32"): HFConfig {
  const { layerShapes, layers } = config;
  const name = DTYPE_NAMES[dtype];
  if (name === undefined) throw new ConfigError(`weights of a model are floats, not ${dtype}`);
  const { divisor, multipliers } = feedForwardOf(config);
  return {
    activation_fn_name: ACTIVATION_NAMES[config.activation] ?? config.activation,
    architectures: ["OpenELMForCausalLM"],
    bos_token_id: config.bosId,
    eos_token_id: config.eosId,
    ffn_dim_divisor: divisor,
    ffn_multipliers: multipliers,
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
    ...(config.eps === EPS ? {} : { rms_norm_eps: config.eps }),
    rope_freq_constant: config.ropeBase,
    rope_max_length: config.maxContextLength * 2,
    share_input_output_layers: config.tied,
    torch_dtype: name,
    transformers_version: "4.39.3",
    use_cache: true,
    vocab_size: config.vocabSize,
  };
}

/** A multiplier for all layers as the pair of its ends; what is a list stays one. */
const pair = (multipliers: Multipliers): readonly number[] =>
  typeof multipliers === "number" ? [multipliers, multipliers] : multipliers;

/** Divisor and multipliers that give the feed-forward widths; the file has no list of the widths themselves. */
function feedForwardOf(config: OpenELMConfig): { divisor: number; multipliers: number[] } {
  const { layers, feedForward, feedForwardDivisor } = config;
  const widths = config.layerShapes.map(({ feedForwardDim }) => feedForwardDim);
  const scaled = layerwiseScaling(config).map(({ feedForwardDim }) => feedForwardDim);
  if (widths.join() === scaled.join()) {
    return {
      divisor: feedForwardDivisor,
      multipliers: expandMultipliers(feedForward, layers, "feedForward"),
    };
  }
  return {
    divisor: widths.reduce(commonDivisor),
    multipliers: widths.map((width) => width / config.modelDim),
  };
}

const commonDivisor = (a: number, b: number): number => (b === 0 ? a : commonDivisor(b, a % b));

/**
 * Reads `config.json`.
 *
 * Feed-forward multipliers may be the pair or one a layer; head lists are taken from the file where it has them. Keys
 * that are missing have the defaults of the framework that the models were trained with.
 *
 * @throws FormatError naming the file and the key.
 * @example
 * ```ts
 * const json = toHFConfig(openelmConfig("OpenELM-270M"));
 * fromHFConfig(json).layerShapes[0]; // { queryHeads: 12, kvHeads: 3, feedForwardDim: 768 }
 * ```
 */
export function fromHFConfig(json: HFConfig, path = "config.json"): OpenELMConfig {
  const read = new Reader(json, path);
  if (json.model_type !== "openelm") throw read.bad("model_type", '"openelm"');
  if ((json.normalization_layer_name ?? "rms_norm") !== "rms_norm") {
    throw read.bad("normalization_layer_name", '"rms_norm"');
  }
  const vocabSize = read.number("vocab_size", 32000);
  const padding = json.pad_token_id;
  const hasPadding = typeof padding === "number" && padding >= 0 && padding < vocabSize;
  try {
    const config = openelmConfig({
      vocabSize,
      layers: read.layers("num_transformer_layers", 12),
      modelDim: read.number("model_dim", 2048),
      headDim: read.number("head_dim", 128),
      headsPerKvHead: read.number("num_gqa_groups", 1),
      attention: read.multipliers("qkv_multipliers", 1),
      feedForward: read.multipliers("ffn_multipliers", 4),
      feedForwardDivisor: read.number("ffn_dim_divisor", 256),
      glu: read.boolean("ffn_with_glu", true),
      activation: read.activation("activation_fn_name"),
      qkNorm: read.boolean("normalize_qk_projections", false),
      tied: read.boolean("share_input_output_layers", false),
      ropeBase: read.number("rope_freq_constant", 10000),
      maxContextLength: read.number("max_context_length", 2048),
      eps: read.number("rms_norm_eps", EPS),
      bosId: read.number("bos_token_id", 1),
      eosId: read.number("eos_token_id", 2),
      // The released configurations name tokens that their vocabulary was cut by; such a token pads nothing.
      paddingIndex: hasPadding ? padding : undefined,
    });
    return withHeads(config, read);
  } catch (cause) {
    if (!isOpenELMError(cause, "CONFIG")) throw cause;
    throw new FormatError(`${path}: ${cause.message}`, { path, cause });
  }
}

/** Values of the file by key and type. */
class Reader {
  readonly #json: HFConfig;
  readonly #path: string;

  constructor(json: HFConfig, path: string) {
    this.#json = json;
    this.#path = path;
  }

  bad(key: string, what: string): FormatError {
    return new FormatError(
      `${this.#path}: ${key} must be ${what}, got ${shown(this.#json[key] ?? "nothing")}`,
      { path: this.#path },
    );
  }

  number(key: string, fallback: number): number {
    const value = this.#json[key] ?? fallback;
    if (typeof value !== "number" || !Number.isFinite(value)) throw this.bad(key, "a number");
    return value;
  }

  /** A number of layers, of each of which something is made before any tensor has been seen. */
  layers(key: string, fallback: number): number {
    const value = this.number(key, fallback);
    if (value > MAX_LAYERS) throw this.bad(key, `at most ${MAX_LAYERS}`);
    return value;
  }

  boolean(key: string, fallback: boolean): boolean {
    const value = this.#json[key] ?? fallback;
    if (typeof value !== "boolean") throw this.bad(key, "true or false");
    return value;
  }

  multipliers(key: string, fallback: number): Multipliers {
    const value = this.#json[key] ?? fallback;
    if (typeof value === "number") return value;
    if (!Array.isArray(value) || value.some((item) => typeof item !== "number")) {
      throw this.bad(key, "a number or a list of numbers");
    }
    return value as number[];
  }

  activation(key: string): Activation {
    const value = this.#json[key] ?? "swish";
    const renamed = Object.entries(ACTIVATION_NAMES).find(([, theirs]) => theirs === value)?.[0];
    const name = renamed ?? value;
    if (typeof name !== "string" || !Object.hasOwn(ACTIVATIONS, name)) {
      const known = Object.keys(ACTIVATIONS).map((ours) => ACTIVATION_NAMES[ours as Activation] ?? ours);
      throw this.bad(key, `one of ${known.join(", ")}`);
    }
    return name as Activation;
  }

  /** One whole number above 0 for each layer; undefined where the file has none. */
  sizes(key: string, layers: number): readonly number[] | undefined {
    const value = this.#json[key] ?? undefined;
    if (value === undefined) return undefined;
    const isList =
      Array.isArray(value) && value.length === layers && value.every((n) => Number.isSafeInteger(n) && n > 0);
    if (!isList) throw this.bad(key, `a list of ${layers} whole numbers`);
    return value as number[];
  }
}

/** Heads as the file lists them, which may differ from what its multipliers give. */
function withHeads(config: OpenELMConfig, read: Reader): OpenELMConfig {
  const query = read.sizes("num_query_heads", config.layers);
  const kv = read.sizes("num_kv_heads", config.layers);
  if (query === undefined && kv === undefined) return config;
  const layerShapes = config.layerShapes.map((shape, i) => ({
    ...shape,
    queryHeads: query?.[i] ?? shape.queryHeads,
    kvHeads: kv?.[i] ?? (query?.[i] ?? shape.queryHeads) / config.headsPerKvHead,
  }));
  if (layerShapes.some(({ queryHeads, kvHeads }) => queryHeads % kvHeads !== 0)) {
    throw read.bad("num_kv_heads", "divisors of num_query_heads");
  }
  return openelmConfig(config, { layerShapes });
}
