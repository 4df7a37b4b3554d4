import { mul, neg } from "@openelm/tensor";
import type { Rules } from "../rule.js";
import { sumTo } from "../sum-to.js";

/** Ops of the form `y[i] = f(a[i], …)`; broadcast operands sum what comes back. */
export const rules: Rules<"add" | "sub" | "mul"> = {
  add: {
    vjp: ({ grad, specs: { a, b } }) => ({ a: sumTo(grad, a.shape), b: sumTo(grad, b.shape) }),
  },
  sub: {
    vjp: ({ grad, specs: { a, b } }) => ({ a: sumTo(grad, a.shape), b: sumTo(neg(grad), b.shape) }),
  },
  mul: {
    saves: ["a", "b"],
    vjp: ({ grad, inputs, specs: { a, b } }) => ({
      a: sumTo(mul(grad, inputs.b), a.shape),
      b: sumTo(mul(grad, inputs.a), b.shape),
    }),
  },
};
