import { where } from "@openelm/tensor";
import type { Rules } from "../rule.js";
import { sumTo } from "../sum-to.js";

/** `da = grad` where the condition holds, `db = grad` elsewhere, 0 in the other places. */
export const rules: Rules<"where"> = {
  where: {
    saves: ["condition"],
    vjp: ({ grad, inputs: { condition }, specs: { a, b }, wants }) => ({
      a: wants.a ? sumTo(where(condition, grad, 0), a.shape) : null,
      b: wants.b ? sumTo(where(condition, 0, grad), b.shape) : null,
    }),
  },
};
