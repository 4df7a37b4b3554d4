import { matmul, permute, type Tensor } from "@openelm/tensor";
import type { Rules } from "../rule.js";
import { sumTo } from "../sum-to.js";

/** The last two axes swapped. */
function transposed(x: Tensor): Tensor {
  const axes = x.shape.map((_, i) => i);
  axes.push(...axes.splice(-2).reverse());
  return permute(x, axes);
}

/**
 * With `Y = A·B`: `dA = dY·Bᵀ`, `dB = Aᵀ·dY`, summed over broadcast leading axes.
 *
 * A weight without leading axes meets a batch as one long matrix, so that its gradient is one product and not a batch
 * of products that are summed afterwards.
 */
export const rules: Rules<"matmul"> = {
  matmul: {
    saves: ["a", "b"],
    vjp({ inputs: { a, b }, specs, grad, wants }) {
      const g = grad.to(specs.a.dtype);
      return {
        a: wants.a ? sumTo(matmul(g, transposed(b)), specs.a.shape) : null,
        b: wants.b ? weightGrad(a, g, specs.b.shape) : null,
      };
    },
  },
};

function weightGrad(a: Tensor, grad: Tensor, shape: readonly number[]): Tensor {
  if (shape.length > 2 || a.rank === 2) return sumTo(matmul(transposed(a), grad), shape);
  const flat = (x: Tensor): Tensor => x.reshape([-1, x.shape.at(-1)!]);
  return matmul(transposed(flat(a)), flat(grad));
}
