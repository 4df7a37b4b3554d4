import { ConfigError } from "@openelm/native";
import { ACTIVATIONS, type Activation } from "@openelm/nn";
import { type LayerShape, layerwiseScaling, type Multipliers } from "./layerwise-scaling.js";

/** What an OpenELM is made of. */
export interface OpenELMOptions {
  readonly vocabSize: number;
  readonly layers: number;
  readonly modelDim: number;
  readonly headDim: number;
  /** Query heads that share one key-value head. Default 1. */
  readonly headsPerKvHead?: number;
  /** Attention width as a multiple of `modelDim`: one number, from first to last, or one a layer. Default 1. */
  readonly attention?: Multipliers;
  /** The same for the feed-forward part. Default 4. */
  readonly feedForward?: Multipliers;
  /** Feed-forward widths are multiples of it. Default 256. */
  readonly feedForwardDivisor?: number;
  /** Whether the activated half gates the other one. Default `true`. */
  readonly glu?: boolean;
  /** Default `"swish"`. */
  readonly activation?: Activation;
  /** Whether queries and keys are normed per head. Default `true`. */
  readonly qkNorm?: boolean;
  /** Whether the output layer is the embedding. Default `true`. */
  readonly tied?: boolean;
  /** Base of the rotary angles. Default 10000. */
  readonly ropeBase?: number;
  /** Positions that the model is meant for. Default 2048. */
  readonly maxContextLength?: number;
  /** Added inside the norms' roots. Default `1e-6`. */
  readonly eps?: number;
  /** A token whose embedding's look-up gets no gradient, and whose targets are ignored. */
  readonly paddingIndex?: number | undefined;
  readonly bosId?: number;
  readonly eosId?: number;
}

/** The options with nothing left open, and what follows from them. */
export interface OpenELMConfig extends Required<Omit<OpenELMOptions, "paddingIndex">> {
  readonly paddingIndex: number | undefined;
  /** Heads and widths of every layer. */
  readonly layerShapes: readonly LayerShape[];
}

const OPENELM = { headsPerKvHead: 4, attention: [0.5, 1], feedForward: [0.5, 4], vocabSize: 32000 } as const;

/** The published sizes by name, and the test sizes of the framework that they were trained with. */
export const OPENELM_SIZES = {
  "OpenELM-270M": { ...OPENELM, layers: 16, modelDim: 1280, headDim: 64 },
  "OpenELM-450M": { ...OPENELM, layers: 20, modelDim: 1536, headDim: 64 },
  "OpenELM-1_1B": { ...OPENELM, layers: 28, modelDim: 2048, headDim: 64 },
  "OpenELM-3B": { ...OPENELM, layers: 36, modelDim: 3072, headDim: 128 },
  "gpt-test": {
    vocabSize: 32000,
    layers: 1,
    modelDim: 128,
    headDim: 64,
    attention: [0.25, 0.5],
    feedForward: [0.25, 0.75],
  },
  "gpt-1_3B": {
    vocabSize: 32000,
    layers: 24,
    modelDim: 2048,
    headDim: 64,
    headsPerKvHead: 4,
    attention: 1,
    feedForward: 3,
  },
} as const satisfies Record<string, OpenELMOptions>;

export type OpenELMSize = keyof typeof OPENELM_SIZES;

/**
 * The full configuration of a named size or of options of one's own.
 *
 * @throws ConfigError naming the option that cannot be, or the sizes that exist.
 * @example
 * ```ts
 * openelmConfig("OpenELM-270M", { vocabSize: 32128 }).layerShapes[0]; // { queryHeads: 12, kvHeads: 3, feedForwardDim: 768 }
 * ```
 */
export function openelmConfig(
  size: OpenELMSize | OpenELMOptions,
  changes: Partial<OpenELMOptions> = {},
): OpenELMConfig {
  const options: OpenELMOptions = { ...(typeof size === "string" ? named(size) : size), ...changes };
  const config = {
    headsPerKvHead: 1,
    attention: 1,
    feedForward: 4,
    feedForwardDivisor: 256,
    glu: true,
    activation: "swish" as const,
    qkNorm: true,
    tied: true,
    ropeBase: 10000,
    maxContextLength: 2048,
    eps: 1e-6,
    bosId: 1,
    eosId: 2,
    paddingIndex: undefined,
    ...options,
  };
  const { vocabSize, headDim, activation, paddingIndex } = config;
  if (!Number.isInteger(vocabSize) || vocabSize < 1)
    throw new ConfigError(`vocabSize must be a whole number above 0, got ${vocabSize}`);
  if (headDim % 2 !== 0)
    throw new ConfigError(`headDim must be even, since rotary positions turn pairs; got ${headDim}`);
  if (!(activation in ACTIVATIONS)) {
    throw new ConfigError(
      `activation must be one of ${Object.keys(ACTIVATIONS).join(", ")}, got ${activation}`,
    );
  }
  if (
    paddingIndex !== undefined &&
    !(Number.isInteger(paddingIndex) && paddingIndex >= 0 && paddingIndex < vocabSize)
  ) {
    throw new ConfigError(`paddingIndex must be a token below vocabSize ${vocabSize}, got ${paddingIndex}`);
  }
  return { ...config, layerShapes: layerwiseScaling(config) };
}

function named(size: string): OpenELMOptions {
  const found = (OPENELM_SIZES as Record<string, OpenELMOptions>)[size];
  if (found === undefined) {
    throw new ConfigError(`there is no size "${size}"; there are ${Object.keys(OPENELM_SIZES).join(", ")}`);
  }
  return found;
}
