import { matmul, mul, OpError, type Tensor } from "@openelm/tensor";
import { transposed } from "../axes.js";
import type { Rules } from "../rule.js";
import { losses } from "./cross_entropy.js";

/** The forward pass has the gradients for the cotangent 1 of `loss`: `dhidden = grad · dhidden₁`, `dweight = grad · dweight₁`. */
export const rules: Rules<"linear_cross_entropy"> = {
  linear_cross_entropy: {
    saves: ({ hidden, weight }) => [hidden && "dhidden", weight && "dweight"],
    vjp({ outputs: { dhidden, dweight }, specs, grads, wants, attrs: { zLoss } }) {
      // Without z-loss the loss is ce, and z is a constant.
      const [grad, other] =
        zLoss === 0 ? [sumOf(grads.loss, grads.ce), undefined] : [grads.loss, grads.ce ?? grads.z];
      if (other !== undefined) {
        throw new OpError(
          "NOT_DIFFERENTIABLE",
          "linear_cross_entropy",
          "only loss has a gradient here, ce and z are for reports; crossEntropy(hidden.matmul(weightᵀ)) has all three",
        );
      }
      if (grad === undefined) return {};
      return {
        hidden: wants.hidden ? mul(dhidden, grad).to(specs.hidden.dtype) : null,
        weight: wants.weight ? mul(dweight, grad) : null,
      };
    },
    reference: ({ hidden, weight, targets }, attrs) =>
      losses(matmul(hidden, transposed(weight)), targets, attrs),
  },
};

const sumOf = (a: Tensor | undefined, b: Tensor | undefined): Tensor | undefined =>
  a && b ? a.add(b) : (a ?? b);
