//! Random tensors: the ops of the table, with a generator in place of seed and counter.
import { CaptureError, OpError } from "@openelm/native";
import { currentDraws, isRecording } from "./capture-state.js";
import type { CreateOptions } from "./create.js";
import { defaults } from "./defaults.js";
import type { DeviceLike } from "./device.js";
import type { DrawSpec } from "./draws.js";
import { type DType, isHalf } from "./dtype.js";
import * as internal from "./generated/internal.js";
import { mul, where } from "./generated/ops.js";
import { defaultGenerator, type Generator, type GeneratorState } from "./generator.js";
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

/** The tensor that `make` draws from a place of the generator; in a recording one that each replay draws anew. */
function drawn(
  op: string,
  { generator }: GeneratorOption,
  spec: DrawSpec,
  make: (place: GeneratorState) => Tensor,
): Tensor {
  const place = (generator ?? defaultGenerator())._reserve(sizeOf(op, spec.shape));
  const draws = currentDraws();
  if (draws === undefined) return make(place);
  return draws.add(op, generator, place, spec, make);
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
  const { low, high, device } = options;
  const dtype = dtypeOf(options.dtype);
  return drawn("uniform", options, { shape, dtype, device }, (place) =>
    internal.uniform(shape, { low, high, dtype, device, ...place }),
  ) as Tensor<Shape, D>;
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
  const { mean, std, device } = options;
  const dtype = dtypeOf(options.dtype);
  return drawn("normal", options, { shape, dtype, device }, (place) =>
    internal.normal(shape, { mean, std, dtype, device, ...place }),
  ) as Tensor<Shape, D>;
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
  const { mean, std, low, high, device } = options;
  const dtype = dtypeOf(options.dtype);
  return drawn("truncatedNormal", options, { shape, dtype, device }, (place) =>
    internal.truncatedNormal(shape, { mean, std, low, high, dtype, device, ...place }),
  ) as Tensor<Shape, D>;
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
  return drawn("bernoulli", options, { shape, dtype: "bool", device }, (place) =>
    internal.bernoulli(shape, { p, device, ...place }),
  ) as Tensor<Shape, "bool">;
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
  const { device } = options;
  return drawn("randint", options, { shape, dtype: "i32", device }, (place) =>
    internal.randint(shape, low, high, { device, ...place }),
  ) as Tensor<Shape, "i32">;
}

/**
 * The numbers 0 … n − 1 in random order.
 *
 * Shapes: `y` is `[n]`. Dtypes: `y` is i32.
 */
export function permutation(n: number, options: RandintOptions = {}): Tensor<Shape, "i32"> {
  const { device } = options;
  return drawn("permutation", options, { shape: [n], dtype: "i32", device }, (place) =>
    internal.permutation(n, { device, ...place }),
  ) as Tensor<Shape, "i32">;
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
  if (isRecording()) {
    throw new CaptureError(
      "multinomial: a replay would draw the same numbers again, since they depend on values inside; " +
        "compare uniform numbers with running sums of the probabilities instead",
    );
  }
  const { replacement, generator } = options;
  const place = (generator ?? defaultGenerator())._reserve(Math.max(probabilities.size, draws));
  return internal.multinomial(probabilities, count, { replacement, ...place }) as Tensor<Shape, "i32">;
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
  if (isRecording()) return masked(x, p, options) as Tensor<Shape, FloatDType<D>>;
  const place = (options.generator ?? defaultGenerator())._reserve(x.size);
  return internal.dropout(x, { p, ...place }) as Tensor<Shape, FloatDType<D>>;
}

/** The same bits as {@link dropout} by a mask that is drawn outside, since the fused op draws by itself. */
function masked(x: Tensor, p: number, options: GeneratorOption): Tensor {
  const { shape, dtype, device } = x;
  const dropped = drawn("dropout", options, { shape, dtype: "bool", device }, (place) =>
    internal.bernoulli(shape, { p, device, ...place }),
  );
  // Scaled before it is rounded; nothing is kept where p is 1.
  const wide = isHalf(dtype) ? x.to("f32") : x;
  const kept = mul(wide, p < 1 ? 1 / (1 - p) : 1);
  return where(dropped, 0, isHalf(dtype) ? kept.to(dtype) : kept);
}
