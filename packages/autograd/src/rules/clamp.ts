import { ge, le, logicalAnd, where } from "@openelm/tensor";
import type { Rules } from "../rule.js";

/** `dx = grad` where `min ≤ x ≤ max`, bounds included, and 0 outside. */
export const rules: Rules<"clamp"> = {
  clamp: {
    saves: ["x"],
    vjp({ grad, inputs: { x }, attrs: { min, max } }) {
      const above = min === undefined ? undefined : ge(x, min);
      const below = max === undefined ? undefined : le(x, max);
      const inside = above && below ? logicalAnd(above, below) : (above ?? below);
      return { x: inside === undefined ? grad : where(inside, grad, 0) };
    },
  },
};
