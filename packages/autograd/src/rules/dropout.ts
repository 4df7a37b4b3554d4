import { internal, mul, ones } from "@openelm/tensor";
import { notDifferentiable, type Rules } from "../rule.js";

/** `dx = grad · mask / (1 − p)` under the mask of the call, which its seed and counter draw again. */
export const rules: Rules<"dropout" | "dropout_backward"> = {
  dropout: {
    vjp: ({ grad, attrs }) => ({ x: internal.dropoutBackward(grad, attrs) }),
    reference: ({ x }, attrs) => ({
      y: mul(x, internal.dropout(ones(x.shape, { dtype: x.dtype, device: x.device }), attrs)),
    }),
  },
  dropout_backward: notDifferentiable("the gradient of a gradient goes through the reference of dropout"),
};
