import {
  eq,
  internal,
  reshape,
  scatter,
  scatterAdd,
  type Tensor,
  takeAlongAxis,
  where,
  zeros,
} from "@openelm/tensor";
import { axisOf } from "../axes.js";
import type { Rules } from "../rule.js";

/** Gather and scatter along one axis, an index for every element. */
export const rules: Rules<"take_along_axis" | "scatter_add" | "scatter"> = {
  // dx[…, r] = Σ grad[…, i] over the i with indices[…, i] = r
  take_along_axis: {
    saves: ["indices"],
    vjp: ({ grad, inputs: { indices }, specs: { x }, attrs: { axis } }) => ({
      x: scatterAdd(zeros(x.shape, { dtype: grad.dtype, device: grad.device }), indices, grad, { axis }),
    }),
  },
  // dx = grad, dupdates[…, i] = grad[…, indices[…, i]]
  scatter_add: {
    saves: ({ updates }) => [updates && "indices"],
    vjp: ({ grad, inputs: { indices }, wants, attrs: { axis } }) => ({
      x: grad,
      updates: wants.updates ? takeAlongAxis(grad, indices, { axis }) : null,
    }),
  },
  // dx = grad, 0 where an update was put; of several updates for one place only the one that stayed has a gradient
  scatter: {
    saves: ["indices"],
    vjp: ({ grad, inputs: { indices }, wants, attrs: { axis } }) => ({
      x: wants.x
        ? scatter(grad, indices, zeros(indices.shape, { dtype: grad.dtype, device: grad.device }), { axis })
        : null,
      updates: wants.updates
        ? where(stayed(indices, grad, axis), takeAlongAxis(grad, indices, { axis }), 0)
        : null,
    }),
  },
};

/** Which updates are the last for their place: each writes its position on the axis and looks whether it is there. */
function stayed(indices: Tensor, { shape, device }: Tensor, axis: number): Tensor {
  const at = axisOf(axis, shape.length);
  const count = indices.shape[at]!;
  const line = internal.arange(0, 1, count, { dtype: "i32", device });
  const own = reshape(
    line,
    shape.map((_, i) => (i === at ? count : 1)),
  ).broadcastTo(indices.shape);
  const winner = scatter(zeros(shape, { dtype: "i32", device }), indices, own, { axis });
  return eq(takeAlongAxis(winner, indices, { axis }), own);
}
