import { matmul, type Tensor, transpose } from "@openelm/tensor";

/** A product `features · weightᵀ` that is not made yet, for losses that never hold it as a whole. */
export interface Product {
  /** `[..., inputs]`. */
  readonly features: Tensor;
  /** `[outputs, inputs]`. */
  readonly weight: Tensor;
}

/**
 * A linear map: `y = x · Wᵀ + b`.
 *
 * Shapes: `x` `[..., inputs]`, `weight` `[outputs, inputs]`, `bias` `[outputs]`, result `[..., outputs]`. Dtypes: floats.
 *
 * @throws OpError `SHAPE_MISMATCH` if the last axes of `x` and `weight` differ.
 * @example
 * ```ts
 * linear(zeros([5, 3]), ones([2, 3])).shape; // [5, 2]
 * ```
 */
export function linear(x: Tensor, weight: Tensor, bias?: Tensor): Tensor {
  const y = matmul(x, transpose(weight));
  return bias === undefined ? y : y.add(bias);
}
