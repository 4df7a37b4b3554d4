import { OpError } from "@openelm/native";
import type { DType } from "../dtype.js";
import { reshape } from "../generated/ops.js";
import { axesOf } from "../shape.js";
import type { Shape, Tensor } from "../tensor.js";

/** Options of {@link squeeze}. */
export interface SqueezeOptions {
  /** The axes to remove; every axis of size 1 when absent. */
  readonly axis?: number | readonly number[] | undefined;
}

/**
 * A view without axes of size 1.
 *
 * Shapes: `x` is `[..., 1, ...]`, `y` is `x` without the axes. Dtypes: all.
 *
 * @throws OpError `SHAPE_MISMATCH` if a named axis has another size.
 * @example
 * ```ts
 * squeeze(zeros([1, 3, 1])).shape; // [3]
 * squeeze(zeros([1, 3, 1]), { axis: 0 }).shape; // [3, 1]
 * ```
 */
export function squeeze<D extends DType>(
  x: Tensor<Shape, D>,
  { axis }: SqueezeOptions = {},
): Tensor<Shape, D> {
  if (axis === undefined) {
    return reshape(
      x,
      x.shape.filter((dim) => dim !== 1),
    );
  }
  const removed = new Set(axesOf("squeeze", axis, x.rank));
  for (const i of removed) {
    if (x.shape[i] !== 1) {
      throw new OpError(
        "SHAPE_MISMATCH",
        "squeeze",
        `axis ${i} must have size 1, the shape is [${x.shape.join(", ")}]`,
      );
    }
  }
  return reshape(
    x,
    x.shape.filter((_, i) => !removed.has(i)),
  );
}
