import { internal, mul, silu } from "@openelm/tensor";
import { sliced } from "../axes.js";
import { notDifferentiable, type Rules } from "../rule.js";

/** With `s = 1 / (1 + e⁻ᵃ)`: `da = grad · b · s · (1 + a · (1 − s))`, `db = grad · a · s`, side by side. */
export const rules: Rules<"swiglu" | "swiglu_backward"> = {
  swiglu: {
    saves: ["x"],
    vjp: ({ grad, inputs: { x } }) => ({ x: internal.swigluBackward(grad.to(x.dtype), x) }),
    reference({ x }) {
      const half = x.shape.at(-1)! / 2;
      return { y: mul(silu(sliced(x, -1, 0, half)), sliced(x, -1, half, half)) };
    },
  },
  swiglu_backward: notDifferentiable("the gradient of a gradient goes through the reference of swiglu"),
};
