import { internal, mean, mul, rsqrt, square } from "@openelm/tensor";
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
      const { dx, dweight } = internal.rmsNormBackward(grad, x, weight, rstd);
      return { x: dx, weight: dweight };
    },
    reference({ x, weight }, { eps }) {
      const meanSquare = mean(square(x), { axis: -1, keepDims: true });
      return { y: mul(mul(x, rsqrt(meanSquare.add(eps))), weight) };
    },
  },
  rms_norm_backward: notDifferentiable("the gradient of a gradient goes through the reference of rms_norm"),
};
