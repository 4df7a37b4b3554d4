import { OpError } from "@openelm/native";
import { concat } from "../generated/ops.js";
import type { CommonDType } from "../result-dtype.js";
import { axisOf } from "../shape.js";
import type { Shape, Tensor } from "../tensor.js";
import { expandDims } from "./expand-dims.js";

/** Options of {@link stack}. */
export interface StackOptions {
  /** Where the new axis is in the result. Default `0`. */
  readonly axis?: number | undefined;
}

/**
 * Tensors of one shape side by side along a new axis.
 *
 * Shapes: each is `[...]`, `y` has an axis more with as many entries as tensors. Dtypes: all, promoted to the common one.
 *
 * @example
 * ```ts
 * await stack([tensor([1, 2]), tensor([3, 4])]).array(); // [[1, 2], [3, 4]]
 * ```
 */
export function stack<A extends Tensor>(
  tensors: readonly A[],
  { axis = 0 }: StackOptions = {},
): Tensor<Shape, CommonDType<A, A>> {
  const [first] = tensors;
  if (first === undefined) throw new OpError("INVALID_ARGUMENT", "stack", "needs at least one tensor");
  for (const { shape } of tensors) {
    if (shape.length !== first.rank || shape.some((dim, i) => dim !== first.shape[i])) {
      const shapes = `[${first.shape.join(", ")}] and [${shape.join(", ")}]`;
      throw new OpError("SHAPE_MISMATCH", "stack", `all tensors must have one shape, got ${shapes}`);
    }
  }
  const at = axisOf("stack", axis, first.rank + 1);
  return concat(
    tensors.map((tensor) => expandDims(tensor, at)),
    { axis: at },
  ) as Tensor<Shape, CommonDType<A, A>>;
}
