import { type Shape, scatterAdd, type Tensor, zeros } from "@openelm/tensor";
import type { Rules } from "../rule.js";

/** The gradient of each value goes to the place that the value came from: `dx[…, indices[…, i]] = grad[…, i]`. */
export const rules: Rules<"sort" | "topk"> = {
  sort: {
    saves: ["indices"],
    vjp: ({ grad, outputs: { indices }, specs: { x }, attrs: { axis } }) => ({
      x: backTo(x.shape, indices, grad, axis),
    }),
  },
  topk: {
    saves: ["indices"],
    vjp: ({ grad, outputs: { indices }, specs: { x }, attrs: { axis } }) => ({
      x: backTo(x.shape, indices, grad, axis),
    }),
  },
};

const backTo = (shape: Shape, indices: Tensor, grad: Tensor, axis: number): Tensor =>
  scatterAdd(zeros(shape, { dtype: grad.dtype, device: grad.device }), indices, grad, { axis });
