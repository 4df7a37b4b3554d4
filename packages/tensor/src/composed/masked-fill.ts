import type { DType } from "../dtype.js";
import { where } from "../generated/ops.js";
import type { Shape, Tensor } from "../tensor.js";

/**
 * `value` where the mask holds, `x` elsewhere.
 *
 * Shapes: `x` and `mask` broadcast. Dtypes: `x` all, `mask` bool; `value` takes the dtype of `x`.
 *
 * @throws OpError `NOT_REPRESENTABLE` if an integer `x` cannot hold the value.
 * @example
 * ```ts
 * await maskedFill(tensor([1, 2]), tensor([true, false]), -Infinity).array(); // [-Infinity, 2]
 * ```
 */
export function maskedFill<D extends DType>(
  x: Tensor<Shape, D>,
  mask: Tensor<Shape, "bool">,
  value: number | bigint | boolean,
): Tensor<Shape, D> {
  return where(mask, value, x) as Tensor<Shape, D>;
}
