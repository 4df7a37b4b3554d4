import { ConfigError } from "@openelm/native";

/** Sizes of one transformer layer. */
export interface LayerShape {
  /** Heads of queries. */
  readonly queryHeads: number;
  /** Heads of keys and values, each serving `queryHeads / kvHeads` query heads. */
  readonly kvHeads: number;
  /** Elements between the two feed-forward projections; with a gate, of one half. */
  readonly feedForwardDim: number;
}

/** A multiplier of the model's width: the same for all layers, from first to last, or one for each layer. */
export type Multipliers = number | readonly number[];

/** Options of {@link layerwiseScaling}. */
export interface LayerwiseScalingOptions {
  /** How many layers there are. */
  readonly layers: number;
  /** Elements of a token's vector. */
  readonly modelDim: number;
  /** Elements of a head. */
  readonly headDim: number;
  /** Query heads that share one key-value head. Default 1. */
  readonly headsPerKvHead?: number;
  /** Width of the attention as a multiple of `modelDim`. */
  readonly attention: Multipliers;
  /** Width of the feed-forward part as a multiple of `modelDim`. */
  readonly feedForward: Multipliers;
  /** Feed-forward widths are multiples of it. Default 256. */
  readonly feedForwardDivisor?: number;
}

/**
 * Sizes of every transformer layer, growing linearly from the first to the last.
 *
 * Layer `i` of `L` gets the multiplier `first + (last − first) · i / (L − 1)`, rounded to two decimals, and the widths
 * are then rounded to whole heads and to multiples of the divisor.
 *
 * @example
 * ```ts
 * layerwiseScaling({ layers: 2, modelDim: 128, headDim: 32, attention: [0.5, 1], feedForward: [1, 4] });
 * // [{ queryHeads: 2, kvHeads: 2, feedForwardDim: 256 }, { queryHeads: 4, kvHeads: 4, feedForwardDim: 512 }]
 * ```
 * @throws ConfigError naming the option that cannot be.
 * @see Mehta et al., 2024, "OpenELM", arXiv:2404.14619
 * @see Mehta et al., 2021, "DeLighT", arXiv:2008.00623, block-wise scaling
 */
export function layerwiseScaling({
  layers,
  modelDim,
  headDim,
  headsPerKvHead = 1,
  attention,
  feedForward,
  feedForwardDivisor = 256,
}: LayerwiseScalingOptions): LayerShape[] {
  for (const [name, value] of Object.entries({
    layers,
    modelDim,
    headDim,
    headsPerKvHead,
    feedForwardDivisor,
  })) {
    if (!Number.isInteger(value) || value < 1)
      throw new ConfigError(`${name} must be a whole number above 0, got ${value}`);
  }
  const attentions = expandMultipliers(attention, layers, "attention");
  const feedForwards = expandMultipliers(feedForward, layers, "feedForward");
  return attentions.map((multiplier, layer) => {
    const attentionDim = roundToMultiple(modelDim * multiplier, headDim * headsPerKvHead);
    const queryHeads = attentionDim / headDim;
    return {
      queryHeads,
      kvHeads: queryHeads / headsPerKvHead,
      feedForwardDim: roundToMultiple(modelDim * feedForwards[layer]!, feedForwardDivisor),
    };
  });
}

/**
 * The multiplier of every layer: as given where there is one for each, else from first to last in two decimals, as the
 * published checkpoints have them.
 *
 * @throws ConfigError if there are neither one, two nor `layers` of them, or one is not above 0.
 * @internal
 */
export function expandMultipliers(multipliers: Multipliers, layers: number, name: string): number[] {
  const list = typeof multipliers === "number" ? [multipliers] : multipliers;
  if (list.some((value) => !(Number.isFinite(value) && value > 0))) {
    throw new ConfigError(`${name}: multipliers must be numbers above 0, got ${list.join(", ")}`);
  }
  if (typeof multipliers !== "number" && list.length === layers && layers !== 2) return [...list];
  const [first, last = first] = list;
  if (first === undefined || last === undefined || list.length > 2) {
    throw new ConfigError(
      `${name} wants one multiplier, two (first and last) or ${layers} (one a layer), got ${list.length}`,
    );
  }
  const step = (last - first) / Math.max(layers - 1, 1);
  return Array.from({ length: layers }, (_, i) =>
    twoDecimals(i > 0 && i === layers - 1 ? last : first + step * i),
  );
}

/** Rounds the exact value of `value`, ties to the even hundredth, as Python's `round(value, 2)` does. */
function twoDecimals(value: number): number {
  // A number lies halfway between two hundredths only if it is an odd number of eighths; then 100 · value is exact.
  if (Number.isInteger(value * 8) && !Number.isInteger(value * 4)) {
    const below = Math.floor(value * 100);
    return (below % 2 === 0 ? below : below + 1) / 100;
  }
  return Number(value.toFixed(2));
}

/** Nearest multiple of `divisor`, never below it and never more than 10 % under `value`. */
function roundToMultiple(value: number, divisor: number): number {
  const nearest = Math.max(divisor, Math.floor(Math.trunc(value + divisor / 2) / divisor) * divisor);
  return nearest < 0.9 * value ? nearest + divisor : nearest;
}
