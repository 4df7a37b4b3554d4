import { internal, type Tensor } from "@openelm/tensor";
import { untaped } from "./tape.js";

/**
 * The same values as a constant: no gradient flows through.
 *
 * @example
 * ```ts
 * grad((x: Tensor) => x.mul(stopGradient(x)).sum())(tensor([3])); // [3], not [6]
 * ```
 */
export function stopGradient(x: Tensor): Tensor {
  return untaped(() => internal.view(x, x.shape));
}
