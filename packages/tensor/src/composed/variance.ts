import { type DType, isHalf } from "../dtype.js";
import { div, mean, sqrt, square, sub, sum } from "../generated/ops.js";
import type { FloatDType } from "../result-dtype.js";
import { axesOf } from "../shape.js";
import type { Shape, Tensor } from "../tensor.js";
import { to } from "../to.js";

/** Options of {@link variance} and {@link std}. */
export interface VarianceOptions {
  /** The axes to reduce; all when absent. */
  readonly axis?: number | readonly number[] | undefined;
  /** Keeps the reduced axes with size 1. Default `false`. */
  readonly keepDims?: boolean | undefined;
  /** What is taken from the number of elements in the divisor; 1 for the unbiased estimate. Default `0`. */
  readonly correction?: number | undefined;
}

/**
 * The mean squared distance from the mean: `Σ (x − mean(x))² / (n − correction)` along `axis`.
 *
 * Shapes: `x` is `[...]`, `y` is `x` without the axes. Dtypes: floats (half precision computes in f32 and rounds once);
 * integers and bool become f32.
 *
 * @example
 * ```ts
 * await variance(tensor([1, 2, 3, 4])).item(); // 1.25
 * ```
 */
export function variance<D extends DType>(
  x: Tensor<Shape, D>,
  options: VarianceOptions = {},
): Tensor<Shape, FloatDType<D>> {
  return inWiderFloat(x, (wide) => varianceOf(wide, options));
}

/**
 * The square root of {@link variance}.
 *
 * @example
 * ```ts
 * await std(tensor([1, 3])).item(); // 1
 * ```
 */
export function std<D extends DType>(
  x: Tensor<Shape, D>,
  options: VarianceOptions = {},
): Tensor<Shape, FloatDType<D>> {
  return inWiderFloat(x, (wide) => sqrt(varianceOf(wide, options)));
}

function varianceOf(x: Tensor, { axis, keepDims = false, correction = 0 }: VarianceOptions): Tensor {
  const axes = axesOf("variance", axis, x.rank);
  const count = axes.reduce((product, i) => product * x.shape[i]!, 1);
  const centered = sub(x, mean(x, { axis: axes, keepDims: true }));
  return div(sum(square(centered), { axis: axes, keepDims }), Math.max(0, count - correction));
}

/** `f` in f32 for half precision, so that intermediate results are not rounded. @internal */
export function inWiderFloat<D extends DType>(
  x: Tensor<Shape, D>,
  f: (wide: Tensor) => Tensor,
): Tensor<Shape, FloatDType<D>> {
  const half = isHalf(x.dtype);
  const y = f(half ? to(x, "f32") : x);
  return (half ? to(y, x.dtype) : y) as Tensor<Shape, FloatDType<D>>;
}
