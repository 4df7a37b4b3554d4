import { internal, mean, mul, rsqrt, square, type Tensor } from "@openelm/tensor";
import { notDifferentiable, type Rules } from "../rule.js";

/**
 * With `x̂ = x · rstd` and `g = grad · weight`:
 *
 *   dx      = rstd · (g − x̂ · mean(g · x̂))
 *   dweight = Σ_rows grad · x̂
 */
export const rules: Rules<"rms_norm" | "rms_norm_backward"> = {
  rms_norm: {
    saves: ["x", "weight", "rstd"],
    vjp({ inputs: { x, weight }, outputs: { rstd }, grad }) {
      const { dx, dweight } = internal.rmsNormBackward(grad.to(x.dtype), x, weight, rstd);
      return { x: dx, weight: dweight };
    },
    reference: ({ x, weight }, { eps }) => ({ y: mul(normalized(x, eps), weight) }),
  },
  rms_norm_backward: notDifferentiable("the gradient of a gradient goes through the reference of rms_norm"),
};

/** `x / sqrt(mean(x²) + eps)` over the last axis. */
export const normalized = (x: Tensor, eps: number): Tensor =>
  mul(x, rsqrt(mean(square(x), { axis: -1, keepDims: true }).add(eps)));
