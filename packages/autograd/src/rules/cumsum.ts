import { cumsum } from "@openelm/tensor";
import type { Rules } from "../rule.js";

/** `dx[i] = Σ_{j ≥ i} grad[j]`: running sums from the other end. */
export const rules: Rules<"cumsum"> = {
  cumsum: { vjp: ({ grad, attrs: { axis, reverse } }) => ({ x: cumsum(grad, { axis, reverse: !reverse }) }) },
};
