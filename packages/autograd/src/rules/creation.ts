import { notDifferentiable, type Rules } from "../rule.js";

const constant = notDifferentiable("it has no tensor among its inputs");
const drawn = notDifferentiable("its result is a random constant");

type Names =
  | ("full" | "arange")
  | ("uniform" | "normal" | "truncated_normal" | "bernoulli" | "randint" | "permutation" | "multinomial");

/** Tensors from nothing. */
export const rules: Rules<Names> = {
  full: constant,
  arange: constant,
  uniform: drawn,
  normal: drawn,
  truncated_normal: drawn,
  bernoulli: drawn,
  randint: drawn,
  permutation: drawn,
  multinomial: drawn,
};
