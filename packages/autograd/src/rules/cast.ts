import type { Rules } from "../rule.js";

/** The gradient is cast back; a cast to integers or bool has none. */
export const rules: Rules<"cast"> = {
  cast: { vjp: ({ grad, specs: { x } }) => ({ x: grad.to(x.dtype) }) },
};
