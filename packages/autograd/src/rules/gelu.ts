import { erf, internal, mul, square, tanh } from "@openelm/tensor";
import { notDifferentiable, type Rules } from "../rule.js";

/** `(x · Φ(x))′ = Φ(x) + x · Φ′(x)`. */
export const rules: Rules<"gelu" | "gelu_backward"> = {
  gelu: {
    saves: ["x"],
    vjp: ({ grad, inputs: { x }, attrs: { approximate } }) => ({
      x: internal.geluBackward(grad.to(x.dtype), x, { approximate }),
    }),
    reference({ x }, { approximate }) {
      // 1 + tanh u or 1 + erf(x/√2): twice Φ(x).
      const inner = mul(mul(x, mul(square(x), 0.044715).add(1)), Math.sqrt(2 / Math.PI));
      const twice = approximate === "tanh" ? tanh(inner) : erf(mul(x, Math.SQRT1_2));
      return { y: mul(x, mul(twice.add(1), 0.5)) };
    },
  },
  gelu_backward: notDifferentiable("the gradient of a gradient goes through the reference of gelu"),
};
