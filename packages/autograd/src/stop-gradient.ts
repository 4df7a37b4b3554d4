import { intercept, internal, type Tensor } from "@openelm/tensor";

/**
 * The same values as a constant: no gradient flows through.
 *
 * @example
 * ```ts
 * grad((x: Tensor) => x.mul(stopGradient(x)).sum())(tensor([3])); // [3], not [6]
 * ```
 */
export function stopGradient(x: Tensor): Tensor {
  return intercept(null, () => internal.view(x, x.shape));
}
