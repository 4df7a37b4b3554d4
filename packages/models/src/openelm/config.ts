import { ConfigError } from "@openelm/native";
import { ACTIVATIONS, type Activation } from "@openelm/nn";
import { type LayerShape, layerwiseScaling, type Multipliers } from "./layerwise-scaling.js";

/** What an OpenELM is made of. */
export interface OpenELMOptions {
  /** Tokens that there are. */
  readonly vocabSize: number;
  /** Transformer layers. */
  readonly layers: number;
  /** Elements of a token's vector. */
  readonly modelDim: number;
  /** Elements of a head; even. */
  readonly headDim: number;
  /** Query heads that share one key-value head. Default 1. */
  readonly headsPerKvHead?: number | undefined;
  /** Attention width as a multiple of `modelDim`: one number, from first to last, or one a layer. Default 1. */
  readonly attention?: Multipliers | undefined;
  /** The same for the feed-forward part. Default 4. */
  readonly feedForward?: Multipliers | undefined;
  /** Feed-forward widths are multiples of it, in elements. Default 256. */
  readonly feedForwardDivisor?: number | undefined;
  /** Heads and widths of every layer. Default: those that the multipliers give. */
  readonly layerShapes?: readonly LayerShape[] | undefined;
  /** Whether the activated half gates the other one. Default `true`. */
  readonly glu?: boolean | undefined;
  /** Default `"swish"`. */
  readonly activation?: Activation | undefined;
  /** Whether queries and keys are normed per head. Default `true`. */
  readonly qkNorm?: boolean | undefined;
  /** Whether the output layer is the embedding. Default `true`. */
  readonly tied?: boolean | undefined;
  /** Base of the rotary angles: pair `j` turns by `ropeBase^(−2j/headDim)` radians a position. Default 10000. */
  readonly ropeBase?: number | undefined;
  /** Tokens that a text may have, those that are generated included. Default 2048. */
  readonly maxContextLength?: number | undefined;
  /** Added inside the norms' roots. Default `1e-6`. */
  readonly eps?: number | undefined;
  /** A token whose embedding's look-up gets no gradient, and whose targets are ignored. Default: none. */
  readonly paddingIndex?: number | undefined;
  /** The token that begins a text. Default 1. */
  readonly bosId?: number | undefined;
  /** The token that ends a text. Default 2. */
  readonly eosId?: number | undefined;
}

/** The options with nothing left open. */
export type OpenELMConfig = {
  readonly [K in Exclude<keyof OpenELMOptions, "paddingIndex">]-?: Exclude<OpenELMOptions[K], undefined>;
} & { readonly paddingIndex: number | undefined };

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

/** A name of {@link OPENELM_SIZES}. */
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
  const base = typeof size === "string" ? named(size) : size;
  const isRescaled = SCALING.some((key) => changes[key] !== undefined && changes[key] !== base[key]);
  const config = {
    ...DEFAULTS,
    ...given(base),
    // Shapes that followed from other multipliers are not those of the new ones.
    ...(isRescaled ? { layerShapes: undefined } : {}),
    ...given(changes),
  };
  checkNumbers(config);
  checkActivation(config.activation);
  const layerShapes = config.layerShapes ?? layerwiseScaling(config);
  checkLayerShapes(layerShapes, config.layers);
  return { ...config, layerShapes };
}

const DEFAULTS = {
  headsPerKvHead: 1,
  attention: 1,
  feedForward: 4,
  feedForwardDivisor: 256,
  layerShapes: undefined,
  glu: true,
  activation: "swish",
  qkNorm: true,
  tied: true,
  ropeBase: 10000,
  maxContextLength: 2048,
  eps: 1e-6,
  bosId: 1,
  eosId: 2,
  paddingIndex: undefined,
} as const satisfies Partial<OpenELMOptions>;

type Filled = Omit<OpenELMConfig, "layerShapes"> & Pick<OpenELMOptions, "layerShapes">;

/** Options that decide the shapes of layers. */
const SCALING = [
  "layers",
  "modelDim",
  "headDim",
  "headsPerKvHead",
  "attention",
  "feedForward",
  "feedForwardDivisor",
] as const;

/** The options that are set: `undefined` means the default. */
const given = <T extends Partial<OpenELMOptions>>(options: T): Defined<T> =>
  Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as Defined<T>;

type Defined<T> = { [K in keyof T]: Exclude<T[K], undefined> };

function checkNumbers(config: Filled): void {
  for (const name of ["vocabSize", "layers", "modelDim", "headDim", "maxContextLength"] as const) {
    const value = config[name];
    if (!Number.isSafeInteger(value) || value < 1) {
      throw new ConfigError(`${name} must be a whole number above 0, got ${value}`);
    }
  }
  const { vocabSize, headDim, paddingIndex } = config;
  if (headDim % 2 !== 0) {
    throw new ConfigError(`headDim must be even, since rotary positions turn pairs; got ${headDim}`);
  }
  for (const name of ["eps", "ropeBase"] as const) {
    if (!(Number.isFinite(config[name]) && config[name] > 0)) {
      throw new ConfigError(`${name} must be a number above 0, got ${config[name]}`);
    }
  }
  for (const name of ["bosId", "eosId"] as const) {
    if (!Number.isSafeInteger(config[name]) || config[name] < 0) {
      throw new ConfigError(`${name} must be a whole number of 0 or more, got ${config[name]}`);
    }
  }
  if (
    paddingIndex !== undefined &&
    !(Number.isInteger(paddingIndex) && paddingIndex >= 0 && paddingIndex < vocabSize)
  ) {
    throw new ConfigError(`paddingIndex must be a token below vocabSize ${vocabSize}, got ${paddingIndex}`);
  }
}

function checkActivation(activation: string): void {
  if (Object.hasOwn(ACTIVATIONS, activation)) return;
  throw new ConfigError(
    `activation must be one of ${Object.keys(ACTIVATIONS).join(", ")}, got ${activation}`,
  );
}

function checkLayerShapes(shapes: readonly LayerShape[], layers: number): void {
  if (shapes.length !== layers) {
    throw new ConfigError(
      `layerShapes must have one entry for each of ${layers} layers, got ${shapes.length}`,
    );
  }
  for (const [i, { queryHeads, kvHeads, feedForwardDim }] of shapes.entries()) {
    if (![queryHeads, kvHeads, feedForwardDim].every((size) => Number.isSafeInteger(size) && size >= 1)) {
      throw new ConfigError(`layerShapes[${i}] must have whole numbers above 0`);
    }
    if (queryHeads % kvHeads !== 0) {
      throw new ConfigError(
        `layerShapes[${i}]: queryHeads must be a multiple of kvHeads, got ${queryHeads} and ${kvHeads}`,
      );
    }
  }
}

function named(size: string): OpenELMOptions {
  if (Object.hasOwn(OPENELM_SIZES, size)) return OPENELM_SIZES[size as OpenELMSize];
  throw new ConfigError(`there is no size "${size}"; there are ${Object.keys(OPENELM_SIZES).join(", ")}`);
}
