import { internal, mean, mul, sub } from "@openelm/tensor";
import { notDifferentiable, type Rules } from "../rule.js";
import { normalized } from "./rms_norm.js";

/**
 * With `x̂ = (x − mean) · rstd` and `g = grad · weight`:
 *
 *   dx      = rstd · (g − mean(g) − x̂ · mean(g · x̂))
 *   dweight = Σ_rows grad · x̂
 *   dbias   = Σ_rows grad
 */
export const rules: Rules<"layer_norm" | "layer_norm_backward"> = {
  layer_norm: {
    saves: ["x", "weight", "mean", "rstd"],
    vjp({ inputs: { x, weight }, outputs, grad }) {
      const { dx, dweight, dbias } = internal.layerNormBackward(
        grad.to(x.dtype),
        x,
        outputs.mean,
        outputs.rstd,
        {
          weight: weight ?? undefined,
        },
      );
      return { x: dx, weight: dweight, bias: dbias };
    },
    reference({ x, weight, bias }, { eps }) {
      const xHat = normalized(sub(x, mean(x, { axis: -1, keepDims: true })), eps);
      const scaled = weight === null ? xHat : mul(xHat, weight);
      return { y: bias === null ? scaled : scaled.add(bias) };
    },
  },
  layer_norm_backward: notDifferentiable(
    "the gradient of a gradient goes through the reference of layer_norm",
  ),
};
