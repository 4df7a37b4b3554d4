import { OpError } from "@openelm/native";
import type { DType } from "../dtype.js";
import { abs, max, sqrt, square, sum } from "../generated/ops.js";
import type { FloatDType } from "../result-dtype.js";
import type { Shape, Tensor } from "../tensor.js";
import { to } from "../to.js";
import { inWiderFloat } from "./variance.js";

/** Options of {@link norm}. */
export interface NormOptions {
  /** 1: sum of magnitudes; 2: root of the sum of squares; `Infinity`: the largest magnitude. Default `2`. */
  readonly p?: 1 | 2 | number | undefined;
  /** The axes to reduce; all when absent. */
  readonly axis?: number | readonly number[] | undefined;
  /** Keeps the reduced axes with size 1. Default `false`. */
  readonly keepDims?: boolean | undefined;
}

/**
 * The length of vectors: `(Σ |x|ᵖ)^(1/p)` along `axis`.
 *
 * Over several axes the elements count as one vector. Shapes: `x` is `[...]`, `y` is `x` without the axes.
 * Dtypes: floats (half precision computes in f32 and rounds once); integers and bool become f32.
 *
 * @example
 * ```ts
 * await norm(tensor([3, 4])).item(); // 5
 * ```
 */
export function norm<D extends DType>(
  x: Tensor<Shape, D>,
  { p = 2, axis, keepDims = false }: NormOptions = {},
): Tensor<Shape, FloatDType<D>> {
  const over = { axis, keepDims };
  return inWiderFloat(x, (wide) => {
    const values = wide.dtype === "f64" ? wide : to(wide, "f32");
    if (p === 2) return sqrt(sum(square(values), over));
    if (p === 1) return sum(abs(values), over);
    if (p === Number.POSITIVE_INFINITY) return max(abs(values), over);
    throw new OpError("INVALID_ARGUMENT", "norm", `p must be 1, 2 or Infinity, got ${p}`);
  });
}
