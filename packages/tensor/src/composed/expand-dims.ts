import type { DType } from "../dtype.js";
import { reshape } from "../generated/ops.js";
import { axesOf } from "../shape.js";
import type { Shape, Tensor } from "../tensor.js";

/**
 * A view with new axes of size 1 at the named positions of the result.
 *
 * Shapes: `x` is `[...]`, `y` has an axis more for each of `axis`. Dtypes: all.
 *
 * @example
 * ```ts
 * expandDims(zeros([2, 3]), -1).shape; // [2, 3, 1]
 * expandDims(zeros([2, 3]), [0, 2]).shape; // [1, 2, 1, 3]
 * ```
 */
export function expandDims<D extends DType>(
  x: Tensor<Shape, D>,
  axis: number | readonly number[],
): Tensor<Shape, D> {
  const count = typeof axis === "number" ? 1 : axis.length;
  const rank = x.rank + count;
  const added = new Set(axesOf("expandDims", axis, rank));
  let from = 0;
  return reshape(
    x,
    Array.from({ length: rank }, (_, i) => (added.has(i) ? 1 : x.shape[from++]!)),
  );
}
