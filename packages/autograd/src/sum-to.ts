import { broadcastTo, reshape, type Shape, sum, type Tensor } from "@openelm/tensor";
import { axesOf } from "./axes.js";

/** The gradient of broadcasting: sums `grad` over the axes that `shape` lacks or has as 1. */
export function sumTo(grad: Tensor, shape: Shape): Tensor {
  const lead = grad.rank - shape.length;
  const axes = grad.shape.flatMap((dim, axis) =>
    axis < lead || (shape[axis - lead] === 1 && dim !== 1) ? [axis] : [],
  );
  if (axes.length === 0) return grad;
  const summed = sum(grad, { axis: axes, keepDims: true });
  return lead === 0 ? summed : reshape(summed, shape);
}

/** The result of a reduction of a tensor of `shape` with the axes that it lost as axes of size 1. */
export function keepDims(
  reduced: Tensor,
  shape: Shape,
  axis: number | readonly number[] | undefined,
): Tensor {
  const axes = axesOf(axis, shape.length);
  return reshape(
    reduced,
    shape.map((dim, i) => (axes.includes(i) ? 1 : dim)),
  );
}

/** The gradient of a sum: every summed element gets the cotangent of its sum. */
export const spread = (grad: Tensor, shape: Shape, axis: number | readonly number[] | undefined): Tensor =>
  broadcastTo(keepDims(grad, shape, axis), shape);
