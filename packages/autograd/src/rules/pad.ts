import { internal } from "@openelm/tensor";
import type { Rules } from "../rule.js";

/** `dx` is the part of `grad` that `x` was copied to. */
export const rules: Rules<"pad"> = {
  pad: {
    vjp: ({ grad, specs: { x }, attrs: { pads } }) => ({
      x: internal.slice(grad, {
        starts: x.shape.map((_, axis) => pads[2 * axis]!),
        sizes: x.shape,
        steps: x.shape.map(() => 1),
      }),
    }),
  },
};
