import {
  div,
  eq,
  floorDivide,
  ge,
  gt,
  log,
  logicalAnd,
  mul,
  neg,
  pow,
  type Tensor,
  where,
} from "@openelm/tensor";
import { notDifferentiable, type Rules } from "../rule.js";
import { sumTo } from "../sum-to.js";

type Names = "add" | "sub" | "mul" | "div" | "maximum" | "minimum" | "remainder" | "floor_divide" | "pow";

/** Ops of the form `y[i] = f(a[i], b[i])`; broadcast operands sum what comes back. */
export const rules: Rules<Names> = {
  // da = grad, db = grad
  add: {
    vjp: ({ grad, specs: { a, b }, wants }) => ({
      a: wants.a ? sumTo(grad, a.shape) : null,
      b: wants.b ? sumTo(grad, b.shape) : null,
    }),
  },
  // da = grad, db = −grad
  sub: {
    vjp: ({ grad, specs: { a, b }, wants }) => ({
      a: wants.a ? sumTo(grad, a.shape) : null,
      b: wants.b ? neg(sumTo(grad, b.shape)) : null,
    }),
  },
  // da = grad · b, db = grad · a
  mul: {
    saves: ({ a, b }) => [a && "b", b && "a"],
    vjp: ({ grad, inputs, specs: { a, b }, wants }) => ({
      a: wants.a ? sumTo(mul(grad, inputs.b), a.shape) : null,
      b: wants.b ? sumTo(mul(grad, inputs.a), b.shape) : null,
    }),
  },
  // da = grad / b, db = −grad · a / b²
  div: {
    saves: ({ b }) => ["b", b && "a"],
    vjp({ grad, inputs, specs: { a, b }, wants }) {
      const da = div(grad, inputs.b);
      return {
        a: wants.a ? sumTo(da, a.shape) : null,
        b: wants.b ? neg(sumTo(mul(da, div(inputs.a, inputs.b)), b.shape)) : null,
      };
    },
  },
  // The larger operand gets the gradient; where both are equal each gets half.
  maximum: {
    saves: ["a", "b"],
    vjp: ({ grad, inputs, specs: { a, b }, wants }) => ({
      a: wants.a ? sumTo(ifLarger(grad, inputs.a, inputs.b), a.shape) : null,
      b: wants.b ? sumTo(ifLarger(grad, inputs.b, inputs.a), b.shape) : null,
    }),
  },
  // The same for the smaller one.
  minimum: {
    saves: ["a", "b"],
    vjp: ({ grad, inputs, specs: { a, b }, wants }) => ({
      a: wants.a ? sumTo(ifLarger(grad, inputs.b, inputs.a), a.shape) : null,
      b: wants.b ? sumTo(ifLarger(grad, inputs.a, inputs.b), b.shape) : null,
    }),
  },
  // a − b · ⌊a / b⌋: da = grad, db = −grad · ⌊a / b⌋
  remainder: {
    saves: ({ b }) => [b && "a", b && "b"],
    vjp: ({ grad, inputs, specs: { a, b }, wants }) => ({
      a: wants.a ? sumTo(grad, a.shape) : null,
      b: wants.b ? neg(sumTo(mul(grad, floorDivide(inputs.a, inputs.b)), b.shape)) : null,
    }),
  },
  floor_divide: notDifferentiable("its derivative is 0 wherever there is one"),
  // da = grad · b · a^(b−1), 0 for b = 0; db = grad · aᵇ · ln a, 0 for a = 0 ≤ b
  pow: {
    saves: ({ b }) => ["a", "b", b && "y"],
    vjp({ grad, inputs, outputs: { y }, specs, wants }) {
      const { a, b } = inputs;
      // The condition is on the argument, not on the result: an infinite factor would turn its 0 into NaN.
      const exponent = (): Tensor => where(eq(b, 0), 1, b.sub(1));
      const base = (): Tensor => where(logicalAnd(eq(a, 0), ge(b, 0)), 1, a);
      return {
        a: wants.a ? sumTo(mul(grad, mul(b, pow(a, exponent()))), specs.a.shape) : null,
        b: wants.b ? sumTo(mul(grad, mul(y, log(base()))), specs.b.shape) : null,
      };
    },
  },
};

/** `grad` where `larger > smaller`, half of it where they are equal. */
const ifLarger = (grad: Tensor, larger: Tensor, smaller: Tensor): Tensor =>
  where(eq(larger, smaller), mul(grad, 0.5), where(gt(larger, smaller), grad, 0));
