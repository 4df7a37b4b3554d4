import type { DType } from "../dtype.js";
import { broadcastTo, reshape } from "../generated/ops.js";
import { checkCount } from "../shape.js";
import type { Shape, Tensor } from "../tensor.js";

/**
 * The whole tensor so many times along each axis.
 *
 * Shapes: `repeats` has a number for each of the last axes of `x`; missing ones on either side count as 1. Dtypes: all.
 *
 * @example
 * ```ts
 * await tile(tensor([1, 2]), [2, 2]).array(); // [[1, 2, 1, 2], [1, 2, 1, 2]]
 * ```
 */
export function tile<D extends DType>(
  x: Tensor<Shape, D>,
  repeats: number | readonly number[],
): Tensor<Shape, D> {
  const asked = typeof repeats === "number" ? [repeats] : repeats;
  for (const count of asked) checkCount("tile", "repeats", count);
  const rank = Math.max(x.rank, asked.length);
  const padded = (list: readonly number[]): number[] => [
    ...new Array<number>(rank - list.length).fill(1),
    ...list,
  ];
  const [shape, counts] = [padded(x.shape), padded(asked)];
  // Each axis [n] becomes [count, n], where the first is broadcast.
  const wide = shape.flatMap((dim) => [1, dim]);
  const broadcast = shape.flatMap((dim, i) => [counts[i]!, dim]);
  return reshape(
    broadcastTo(reshape(x, wide), broadcast),
    shape.map((dim, i) => dim * counts[i]!),
  );
}
