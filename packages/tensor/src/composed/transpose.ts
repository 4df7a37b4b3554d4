import type { DType } from "../dtype.js";
import { permute } from "../generated/ops.js";
import { axisOf } from "../shape.js";
import type { Shape, Tensor } from "../tensor.js";

/**
 * A view with two axes swapped, the last two unless others are named.
 *
 * Shapes: `x` is `[..., m, n]`, `y` is `[..., n, m]`. Dtypes: all.
 *
 * @example
 * ```ts
 * transpose(zeros([2, 3, 4])).shape; // [2, 4, 3]
 * transpose(zeros([2, 3, 4]), 0, 1).shape; // [3, 2, 4]
 * ```
 */
export function transpose<D extends DType>(x: Tensor<Shape, D>, a = -2, b = -1): Tensor<Shape, D> {
  const [i, j] = [axisOf("transpose", a, x.rank), axisOf("transpose", b, x.rank)];
  const axes = x.shape.map((_, axis) => (axis === i ? j : axis === j ? i : axis));
  return permute(x, axes);
}
