import { cos, div, exp, mul, neg, sigmoid, sign, sin, square, sub, where } from "@openelm/tensor";
import { notDifferentiable, type Rules } from "../rule.js";

const steps = notDifferentiable("its derivative is 0 wherever there is one");

type Differentiable =
  | (
      | "exp"
      | "exp2"
      | "expm1"
      | "log"
      | "log2"
      | "log1p"
      | "sqrt"
      | "rsqrt"
      | "reciprocal"
      | "sin"
      | "cos"
      | "tanh"
    )
  | ("sigmoid" | "silu" | "erf" | "neg" | "abs" | "square" | "relu");

/** Ops of the form `y[i] = f(x[i])`: `dx = grad · f′(x)`, with `y` in the formula where it says as much as `x`. */
export const rules: Rules<Differentiable | "sign" | "floor" | "ceil" | "round" | "trunc"> = {
  // (eˣ)′ = y
  exp: { saves: ["y"], vjp: ({ grad, outputs: { y } }) => ({ x: mul(grad, y) }) },
  // (2ˣ)′ = y · ln 2
  exp2: { saves: ["y"], vjp: ({ grad, outputs: { y } }) => ({ x: mul(grad, mul(y, Math.LN2)) }) },
  // (eˣ − 1)′ = y + 1
  expm1: { saves: ["y"], vjp: ({ grad, outputs: { y } }) => ({ x: mul(grad, y.add(1)) }) },
  // (ln x)′ = 1 / x
  log: { saves: ["x"], vjp: ({ grad, inputs: { x } }) => ({ x: div(grad, x) }) },
  // (log₂ x)′ = 1 / (x · ln 2)
  log2: { saves: ["x"], vjp: ({ grad, inputs: { x } }) => ({ x: div(grad, mul(x, Math.LN2)) }) },
  // (ln(1 + x))′ = 1 / (1 + x)
  log1p: { saves: ["x"], vjp: ({ grad, inputs: { x } }) => ({ x: div(grad, x.add(1)) }) },
  // (√x)′ = 1 / (2y)
  sqrt: { saves: ["y"], vjp: ({ grad, outputs: { y } }) => ({ x: div(grad, mul(y, 2)) }) },
  // (x^−½)′ = −½ · y³
  rsqrt: {
    saves: ["y"],
    vjp: ({ grad, outputs: { y } }) => ({ x: mul(grad, mul(mul(square(y), y), -0.5)) }),
  },
  // (1 / x)′ = −y²
  reciprocal: { saves: ["y"], vjp: ({ grad, outputs: { y } }) => ({ x: neg(mul(grad, square(y))) }) },
  // sin′ x = cos x
  sin: { saves: ["x"], vjp: ({ grad, inputs: { x } }) => ({ x: mul(grad, cos(x)) }) },
  // cos′ x = −sin x
  cos: { saves: ["x"], vjp: ({ grad, inputs: { x } }) => ({ x: neg(mul(grad, sin(x))) }) },
  // tanh′ x = 1 − y²
  tanh: { saves: ["y"], vjp: ({ grad, outputs: { y } }) => ({ x: mul(grad, sub(1, square(y))) }) },
  // With s = sigmoid(x): s′ = s · (1 − s)
  sigmoid: { saves: ["y"], vjp: ({ grad, outputs: { y } }) => ({ x: mul(grad, mul(y, sub(1, y))) }) },
  // (x · s)′ = s · (1 + x · (1 − s))
  silu: {
    saves: ["x"],
    vjp({ grad, inputs: { x } }) {
      const s = sigmoid(x);
      return { x: mul(grad, mul(s, mul(x, sub(1, s)).add(1))) };
    },
  },
  // erf′ x = 2/√π · e^(−x²)
  erf: {
    saves: ["x"],
    vjp: ({ grad, inputs: { x } }) => ({ x: mul(grad, mul(exp(neg(square(x))), 2 / Math.sqrt(Math.PI))) }),
  },
  neg: { vjp: ({ grad }) => ({ x: neg(grad) }) },
  // |x|′ = sign x, 0 at 0
  abs: { saves: ["x"], vjp: ({ grad, inputs: { x } }) => ({ x: mul(grad, sign(x)) }) },
  // (x²)′ = 2x
  square: { saves: ["x"], vjp: ({ grad, inputs: { x } }) => ({ x: mul(grad, mul(x, 2)) }) },
  // 1 above 0, 0 below and at 0
  relu: { saves: ["y"], vjp: ({ grad, outputs: { y } }) => ({ x: where(y.gt(0), grad, 0) }) },
  sign: steps,
  floor: steps,
  ceil: steps,
  round: steps,
  trunc: steps,
};
