import { type SortOptions, sort } from "../generated/ops.js";
import type { Shape, Tensor } from "../tensor.js";

/**
 * The positions that sort the elements along `axis`: stable, NaN last in either direction.
 *
 * Shapes: `x` and `y` are `[...]`. Dtypes: all → i32.
 *
 * @example
 * ```ts
 * await argsort(tensor([30, 10, 20])).array(); // [1, 2, 0]
 * ```
 */
export function argsort(x: Tensor, options: SortOptions = {}): Tensor<Shape, "i32"> {
  return sort(x, options).indices;
}
