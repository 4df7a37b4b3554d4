import { OpError } from "@openelm/native";
import type { DType } from "../dtype.js";
import { reshape } from "../generated/ops.js";
import { axisOf, elements } from "../shape.js";
import type { Shape, Tensor } from "../tensor.js";

/** Options of {@link flatten}. */
export interface FlattenOptions {
  /** The first axis that is merged. Default `0`. */
  readonly start?: number | undefined;
  /** The last axis that is merged. Default `-1`. */
  readonly end?: number | undefined;
}

/**
 * The axes from `start` to `end` merged into one, in row-major order.
 *
 * Shapes: `x` is `[..., a, b, ...]`, `y` is `[..., a·b, ...]`; without axes `y` is `[1]`. Dtypes: all.
 *
 * @example
 * ```ts
 * flatten(zeros([2, 3, 4])).shape; // [24]
 * flatten(zeros([2, 3, 4]), { start: 1 }).shape; // [2, 12]
 * ```
 */
export function flatten<D extends DType>(
  x: Tensor<Shape, D>,
  { start = 0, end = -1 }: FlattenOptions = {},
): Tensor<Shape, D> {
  if (x.rank === 0) return reshape(x, [1]);
  const [first, last] = [axisOf("flatten", start, x.rank), axisOf("flatten", end, x.rank)];
  if (first > last) {
    throw new OpError("INVALID_ARGUMENT", "flatten", `start (${start}) must not come after end (${end})`);
  }
  const merged = elements(x.shape.slice(first, last + 1));
  return reshape(x, [...x.shape.slice(0, first), merged, ...x.shape.slice(last + 1)]);
}
