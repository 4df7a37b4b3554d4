import { OpError } from "@openelm/native";
import type { DType } from "../dtype.js";
import { broadcastTo, reshape, take } from "../generated/ops.js";
import { data, dataSync } from "../read.js";
import { broadcastShapes } from "../shape.js";
import type { Shape, Tensor } from "../tensor.js";
import { nonzeroFlat } from "./nonzero.js";

/**
 * The elements where the mask holds, in row-major order.
 *
 * How many there are depends on the mask, so that this reads it: a promise, with a blocking twin.
 *
 * Shapes: `x` and `mask` broadcast; `y` is `[count]`. Dtypes: `x` all, `mask` bool.
 *
 * @example
 * ```ts
 * const x = tensor([1, -2, 3]);
 * await (await maskedSelect(x, x.gt(0))).array(); // [1, 3]
 * ```
 */
export async function maskedSelect<D extends DType>(
  x: Tensor<Shape, D>,
  mask: Tensor<Shape, "bool">,
): Promise<Tensor<Shape, D>> {
  const [values, wide] = prepare(x, mask);
  return take(values, nonzeroFlat(await data(wide)));
}

/** The same, blocking. */
export function maskedSelectSync<D extends DType>(
  x: Tensor<Shape, D>,
  mask: Tensor<Shape, "bool">,
): Tensor<Shape, D> {
  const [values, wide] = prepare(x, mask);
  return take(values, nonzeroFlat(dataSync(wide)));
}

function prepare<D extends DType>(x: Tensor<Shape, D>, mask: Tensor): [Tensor<Shape, D>, Tensor] {
  if (mask.dtype !== "bool") {
    throw new OpError(
      "DTYPE_MISMATCH",
      "maskedSelect",
      `mask must be bool, got ${mask.dtype}; make one with ne(0)`,
    );
  }
  const shape = broadcastShapes([x.shape, mask.shape]);
  if (shape === undefined) {
    const shapes = `[${x.shape.join(", ")}] and [${mask.shape.join(", ")}]`;
    throw new OpError("SHAPE_MISMATCH", "maskedSelect", `x and mask must broadcast, got ${shapes}`);
  }
  return [reshape(broadcastTo(x, shape), [-1]), broadcastTo(mask, shape)];
}
