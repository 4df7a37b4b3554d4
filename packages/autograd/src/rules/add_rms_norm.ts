import { add, internal, mul } from "@openelm/tensor";
import { notDifferentiable, type Rules } from "../rule.js";
import { normalized } from "./rms_norm.js";

/**
 * What comes back to the sum goes to both of its terms. With `x̂ = sum · rstd` and `g = grad_y · weight`:
 *
 *   dx      = grad_sum + rstd · (g − x̂ · mean(g · x̂)),  dbranch the same
 *   dweight = Σ_rows grad_y · x̂
 */
export const rules: Rules<"add_rms_norm" | "add_rms_norm_backward"> = {
  add_rms_norm: {
    saves: ["sum", "weight", "rstd"],
    vjp({ inputs: { weight }, outputs: { sum, rstd }, grads, specs: { x, branch } }) {
      const gradSum = grads.sum?.to(x.dtype) ?? null;
      if (grads.y === undefined) return { x: gradSum, branch: gradSum?.to(branch.dtype) ?? null };
      const { dx, dbranch, dweight } = internal.addRmsNormBackward(
        grads.y.to(branch.dtype),
        sum,
        weight,
        rstd,
        { gradSum },
      );
      return { x: dx, branch: x.dtype === branch.dtype ? dx : dbranch, weight: dweight };
    },
    reference({ x, branch, weight }, { eps }) {
      const sum = add(x, branch);
      return { sum, y: mul(normalized(sum, eps), weight).to(branch.dtype) };
    },
  },
  add_rms_norm_backward: notDifferentiable(
    "the gradient of a gradient goes through the reference of add_rms_norm",
  ),
};
