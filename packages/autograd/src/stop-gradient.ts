import { internal, type Tensor } from "@openelm/tensor";
import { untaped } from "./tape.js";

/**
 * The same values as a constant: no gradient flows through.
 *
 * @example
 * ```ts
 * await grad((x: Tensor) => x.mul(stopGradient(x)).sum())(tensor([3])).array(); // [3]
 * ```
 */
export function stopGradient(x: Tensor): Tensor {
  return untaped(() => internal.view(x, x.shape));
}
