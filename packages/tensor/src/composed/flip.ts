import type { DType } from "../dtype.js";
import { slice } from "../generated/internal.js";
import { axesOf } from "../shape.js";
import type { Shape, Tensor } from "../tensor.js";

/** Options of {@link flip}. */
export interface FlipOptions {
  /** The axes to turn around; all when absent. */
  readonly axis?: number | readonly number[] | undefined;
}

/**
 * A view with the elements along the axes in reverse order.
 *
 * Shapes: `x` and `y` are `[...]`. Dtypes: all.
 *
 * @example
 * ```ts
 * await flip(tensor([1, 2, 3])).array(); // [3, 2, 1]
 * ```
 */
export function flip<D extends DType>(x: Tensor<Shape, D>, { axis }: FlipOptions = {}): Tensor<Shape, D> {
  const turned = new Set(axesOf("flip", axis, x.rank));
  const backwards = x.shape.map((dim, i) => turned.has(i) && dim > 0);
  return slice(x, {
    starts: x.shape.map((dim, i) => (backwards[i] ? dim - 1 : 0)),
    sizes: x.shape,
    steps: backwards.map((back) => (back ? -1 : 1)),
  });
}
