import { OpError } from "@openelm/native";
import type { DType } from "../dtype.js";
import { broadcastTo, reshape, take } from "../generated/ops.js";
import { axisOf, checkCount, withDim } from "../shape.js";
import type { Shape, Tensor } from "../tensor.js";
import { expandDims } from "./expand-dims.js";
import { flatten } from "./flatten.js";

/** Options of {@link repeat}. */
export interface RepeatOptions {
  /** The axis along which elements repeat; the flattened tensor when absent. */
  readonly axis?: number | undefined;
}

/**
 * Each element so many times in a row, along an axis.
 *
 * Shapes: `x` is `[..., n, ...]`, `y` is `[..., n·repeats, ...]`, or the sum of the repeats where each slice has its own.
 * Dtypes: all.
 *
 * @example
 * ```ts
 * await repeat(tensor([1, 2]), 2).array(); // [1, 1, 2, 2]
 * await repeat(tensor([[1], [2]]), [1, 3], { axis: 0 }).array(); // [[1], [2], [2], [2]]
 * ```
 */
export function repeat<D extends DType>(
  x: Tensor<Shape, D>,
  repeats: number | readonly number[],
  { axis }: RepeatOptions = {},
): Tensor<Shape, D> {
  if (axis === undefined) return repeat(flatten(x), repeats, { axis: 0 });
  const at = axisOf("repeat", axis, x.rank);
  const size = x.shape[at]!;
  if (typeof repeats === "number") {
    checkCount("repeat", "repeats", repeats);
    const wide = expandDims(x, at + 1);
    return reshape(
      broadcastTo(wide, withDim(wide.shape, at + 1, repeats)),
      withDim(x.shape, at, size * repeats),
    );
  }
  if (repeats.length !== size) {
    throw new OpError(
      "SHAPE_MISMATCH",
      "repeat",
      `${repeats.length} repeats do not fit axis ${at} of size ${size}`,
    );
  }
  for (const count of repeats) checkCount("repeat", "repeats", count);
  const indices = repeats.flatMap((count, i) => new Array<number>(count).fill(i));
  return take(x, indices, { axis: at });
}
