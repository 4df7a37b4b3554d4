import { sliced } from "../axes.js";
import type { Rules } from "../rule.js";

/** Each tensor gets its part of the gradient. */
export const rules: Rules<"concat"> = {
  concat: {
    vjp({ grad, specs: { tensors }, wants, attrs: { axis } }) {
      let start = 0;
      const parts = tensors.map(({ shape }, i) => {
        const size = shape.at(axis)!;
        const part = wants.tensors[i] ? sliced(grad, axis, start, size) : null;
        start += size;
        return part;
      });
      return { tensors: parts };
    },
  },
};
