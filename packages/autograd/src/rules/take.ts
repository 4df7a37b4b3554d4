import { broadcastTo, internal, permute, reshape, type Tensor, takeAlongAxis } from "@openelm/tensor";
import { axisOf } from "../axes.js";
import { notDifferentiable, type Rules } from "../rule.js";

/** `dx[…, r, …] = Σ grad[…, i…, …]` over the `i…` with `indices[i…] = r`. */
export const rules: Rules<"take" | "take_backward"> = {
  take: {
    saves: ["indices"],
    vjp: ({ grad, inputs: { indices }, specs: { x }, attrs: { axis } }) => {
      const at = axisOf(axis, x.shape.length);
      return { x: internal.takeBackward(grad, indices, { axis: at, size: x.shape[at]! }) };
    },
    reference: ({ x, indices }, { axis }) => ({ y: taken(x, indices, axisOf(axis, x.rank)) }),
  },
  take_backward: notDifferentiable("the gradient of a gradient goes through the reference of take"),
};

/** `x` with `axis` replaced by what the indices name, by one index for every element. */
export function taken(x: Tensor, indices: Tensor, axis: number): Tensor {
  const rest = x.shape.toSpliced(axis, 1);
  const order = x.shape.map((_, i) => i);
  const front = permute(x, [axis, ...order.toSpliced(axis, 1)]);
  const column = reshape(indices, [indices.size, ...rest.map(() => 1)]);
  const rows = takeAlongAxis(front, broadcastTo(column, [indices.size, ...rest]), { axis: 0 });
  const { rank } = indices;
  const shaped = reshape(rows, [...indices.shape, ...rest]);
  const lead = rest.slice(0, axis).map((_, i) => rank + i);
  const middle = indices.shape.map((_, i) => i);
  return permute(shaped, [...lead, ...middle, ...rest.slice(axis).map((_, i) => rank + axis + i)]);
}
