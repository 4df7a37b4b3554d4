import { defineOp } from "@openelm/autograd";
import type { Tensor } from "@openelm/tensor";

/**
 * `max(x, 0)²` as an op of its own, with a gradient rule.
 *
 * Written with `defineOp`, nothing but `x` is saved for the gradient; composed of plain ops, it would also save
 * `max(x, 0)`.
 *
 * @see So et al., 2021, "Primer", arXiv:2109.08668
 */
const op = defineOp({
  name: "squared_relu",
  forward: (x: Tensor) => [x.relu().square()] as const,
  // d/dx max(x, 0)² = 2 max(x, 0)
  vjp: ({ inputs: [x], grads: [grad] }) => [
    grad === null || grad === undefined ? null : grad.mul(x.relu().mul(2)),
  ],
  reference: (x: Tensor) => [x.relu().mul(x)] as const,
});

export const squaredRelu = (x: Tensor): Tensor => op(x)[0];
