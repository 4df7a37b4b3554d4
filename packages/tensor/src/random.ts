//! Random tensors: the ops of the table, with a generator in place of seed and counter.
import { CaptureError, OpError } from "@openelm/native";
import { isRecording } from "./capture-state.js";
import type { CreateOptions } from "./create.js";
import { defaults } from "./defaults.js";
import type { DeviceLike } from "./device.js";
import type { DType } from "./dtype.js";
import * as internal from "./generated/internal.js";
import { defaultGenerator, type Generator } from "./generator.js";
import type { FloatDType } from "./result-dtype.js";
import { checkCount, elements } from "./shape.js";
import type { Shape, Tensor } from "./tensor.js";

/** Where random numbers come from. */
export interface GeneratorOption {
  /** The default generator when absent; see {@link seed}. */
  readonly generator?: Generator | undefined;
}

type RandomOptions<D extends DType> = CreateOptions<D> & GeneratorOption;

const sizeOf = (op: string, shape: Shape): number => {
  for (const dim of shape) checkCount(op, "a size", dim);
  return elements(shape);
};

/** Takes the words for `count` values. A recording takes none, so that one that fails leaves the generator as it was. */
function place(op: string, { generator }: GeneratorOption, count: number): { seed: number; counter: number } {
  if (isRecording()) {
    throw new CaptureError(
      `${op}: a replay would draw the same numbers again; draw outside and pass them as an argument`,
    );
  }
  return (generator ?? defaultGenerator())._reserve(count);
}

const dtypeOf = (dtype: DType | undefined): DType => dtype ?? defaults().dtype;

/** Options of {@link uniform}. */
export interface UniformOptions<D extends DType = DType> extends RandomOptions<D> {
  /** The smallest value. Default `0`. */
  readonly low?: number | undefined;
  /** The end of the range, not reached. Default `1`. */
  readonly high?: number | undefined;
}

/**
 * Random numbers, uniform in `[low, high)`.
 *
 * Shapes: `y` is `shape`. Dtypes: floats.
 *
 * @example
 * ```ts
 * uniform([2, 3], { low: -1, high: 1, generator: new Generator(7) });
 * ```
 */
export function uniform<D extends DType = "f32">(
  shape: Shape,
  options: UniformOptions<D> = {},
): Tensor<Shape, NoInfer<D>> {
  const { low, high, dtype, device } = options;
  const at = place("uniform", options, sizeOf("uniform", shape));
  return internal.uniform(shape, { low, high, dtype: dtypeOf(dtype), device, ...at }) as Tensor<Shape, D>;
}

/** Options of {@link normal}. */
export interface NormalOptions<D extends DType = DType> extends RandomOptions<D> {
  /** Default `0`. */
  readonly mean?: number | undefined;
  /** The standard deviation. Default `1`. */
  readonly std?: number | undefined;
}

/**
 * Random numbers of the normal distribution.
 *
 * Shapes: `y` is `shape`. Dtypes: floats.
 *
 * @example
 * ```ts
 * normal([2, 3], { std: 0.02 });
 * ```
 */
export function normal<D extends DType = "f32">(
  shape: Shape,
  options: NormalOptions<D> = {},
): Tensor<Shape, NoInfer<D>> {
  const { mean, std, dtype, device } = options;
  const at = place("normal", options, sizeOf("normal", shape));
  return internal.normal(shape, { mean, std, dtype: dtypeOf(dtype), device, ...at }) as Tensor<Shape, D>;
}

/** Options of {@link truncatedNormal}. */
export interface TruncatedNormalOptions<D extends DType = DType> extends NormalOptions<D> {
  /** The lower bound, in standard deviations from the mean. Default `-2`. */
  readonly low?: number | undefined;
  /** The upper bound, in standard deviations from the mean. Default `2`. */
  readonly high?: number | undefined;
}

/**
 * Random numbers of the normal distribution between two bounds.
 *
 * Shapes: `y` is `shape`. Dtypes: floats.
 *
 * @example
 * ```ts
 * truncatedNormal([2, 3], { std: 0.02, low: -3, high: 3 });
 * ```
 */
export function truncatedNormal<D extends DType = "f32">(
  shape: Shape,
  options: TruncatedNormalOptions<D> = {},
): Tensor<Shape, NoInfer<D>> {
  const { mean, std, low, high, dtype, device } = options;
  const at = place("truncatedNormal", options, sizeOf("truncatedNormal", shape));
  const attrs = { mean, std, low, high, dtype: dtypeOf(dtype), device, ...at };
  return internal.truncatedNormal(shape, attrs) as Tensor<Shape, D>;
}

/** Options of {@link bernoulli}. */
export interface BernoulliOptions extends GeneratorOption {
  /** The probability of `true`. Default `0.5`. */
  readonly p?: number | undefined;
  readonly device?: DeviceLike | undefined;
}

/**
 * `true` with probability `p`, each element by itself.
 *
 * Shapes: `y` is `shape`. Dtypes: `y` is bool.
 */
export function bernoulli(shape: Shape, options: BernoulliOptions = {}): Tensor<Shape, "bool"> {
  const { p, device } = options;
  const at = place("bernoulli", options, sizeOf("bernoulli", shape));
  return internal.bernoulli(shape, { p, device, ...at }) as Tensor<Shape, "bool">;
}

/** Where the result lies and where its numbers come from. */
export interface RandintOptions extends GeneratorOption {
  readonly device?: DeviceLike | undefined;
}

/**
 * Random whole numbers, uniform in `[low, high)`.
 *
 * Shapes: `y` is `shape`. Dtypes: `y` is i32.
 *
 * @example
 * ```ts
 * randint([4], 0, 10);
 * ```
 */
export function randint(
  shape: Shape,
  low: number,
  high: number,
  options: RandintOptions = {},
): Tensor<Shape, "i32"> {
  const at = place("randint", options, sizeOf("randint", shape));
  return internal.randint(shape, low, high, { device: options.device, ...at }) as Tensor<Shape, "i32">;
}

/**
 * The numbers 0 … n − 1 in random order.
 *
 * Shapes: `y` is `[n]`. Dtypes: `y` is i32.
 */
export function permutation(n: number, options: RandintOptions = {}): Tensor<Shape, "i32"> {
  const at = place("permutation", options, sizeOf("permutation", [n]));
  return internal.permutation(n, { device: options.device, ...at }) as Tensor<Shape, "i32">;
}

/** Options of {@link multinomial}. */
export interface MultinomialOptions extends GeneratorOption {
  /** Whether a position may be drawn again. Default `false`. */
  readonly replacement?: boolean | undefined;
}

/**
 * Positions drawn with the given probabilities, which need not sum to 1.
 *
 * Shapes: `probabilities` is `[..., n]`, `y` is `[..., count]`. Dtypes: floats; `y` is i32.
 *
 * @example
 * ```ts
 * multinomial(tensor([0.1, 0.9]), 5, { replacement: true });
 * ```
 */
export function multinomial(
  probabilities: Tensor,
  count: number,
  options: MultinomialOptions = {},
): Tensor<Shape, "i32"> {
  checkCount("multinomial", "count", count);
  // Without replacement each probability draws a word, with it each result does.
  const draws = elements(probabilities.shape.slice(0, -1)) * count;
  const at = place("multinomial", options, Math.max(probabilities.size, draws));
  const { replacement } = options;
  return internal.multinomial(probabilities, count, { replacement, ...at }) as Tensor<Shape, "i32">;
}

/** Options of {@link dropout}. */
export interface DropoutOptions extends GeneratorOption {
  /** The probability that an element becomes 0. Default `0.5`. */
  readonly p?: number | undefined;
}

/**
 * Each element 0 with probability `p`, else scaled by `1 / (1 − p)`. The gradient draws the same mask again.
 *
 * Shapes: `x` and `y` are `[...]`. Dtypes: floats.
 *
 * Srivastava et al., 2014, https://jmlr.org/papers/v15/srivastava14a.html
 *
 * @example
 * ```ts
 * dropout(ones([4]), { p: 0.5 }); // zeros and twos
 * ```
 */
export function dropout<D extends DType>(
  x: Tensor<Shape, D>,
  options: DropoutOptions = {},
): Tensor<Shape, FloatDType<D>> {
  const { p = 0.5 } = options;
  if (!(p >= 0 && p <= 1)) throw new OpError("INVALID_ARGUMENT", "dropout", `p must be of [0, 1], got ${p}`);
  return internal.dropout(x, { p, ...place("dropout", options, x.size) }) as Tensor<Shape, FloatDType<D>>;
}
