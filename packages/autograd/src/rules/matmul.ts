import { matmul, reshape, type Shape, type Tensor } from "@openelm/tensor";
import { sizeOf, transposed } from "../axes.js";
import { isHalf } from "../half.js";
import type { Rules } from "../rule.js";
import { sumTo } from "../sum-to.js";

/**
 * With `Y = A·B`: `dA = dY·Bᵀ`, `dB = Aᵀ·dY`, summed over broadcast leading axes.
 *
 * A weight without leading axes meets a batch as one long matrix, so that its gradient is one product and not a batch
 * of products that are summed afterwards. In half precision that product stays in f32, the dtype of the parameter that
 * the weight was cast from.
 */
export const rules: Rules<"matmul"> = {
  matmul: {
    saves: ({ a, b }) => [a && "b", b && "a"],
    vjp({ inputs: { a, b }, specs, grad, wants }) {
      const g = grad.to(specs.a.dtype);
      return {
        a: wants.a ? sumTo(matmul(g, transposed(b)), specs.a.shape) : null,
        b: wants.b ? weightGrad(a, g, specs.b.shape) : null,
      };
    },
  },
};

function weightGrad(a: Tensor, grad: Tensor, shape: Shape): Tensor {
  if (shape.length > 2) return sumTo(matmul(transposed(a), grad), shape);
  const outDtype = isHalf(a.dtype) ? "f32" : undefined;
  return matmul(transposed(asMatrix(a)), asMatrix(grad), { outDtype });
}

const asMatrix = (x: Tensor): Tensor =>
  x.rank === 2 ? x : reshape(x, [sizeOf(x.shape.slice(0, -1)), x.shape.at(-1)!]);
