import { notDifferentiable, type Rules } from "../rule.js";

const isBool = notDifferentiable("its result is not a float");

type Names =
  | (
      | "eq"
      | "ne"
      | "lt"
      | "le"
      | "gt"
      | "ge"
      | "isnan"
      | "isinf"
      | "isfinite"
      | "all"
      | "any"
      | "argmax"
      | "argmin"
    )
  | ("logical_and" | "logical_or" | "logical_xor" | "logical_not")
  | ("bitwise_and" | "bitwise_or" | "bitwise_xor" | "bitwise_not");

/** Ops whose results are bools or positions. */
export const rules: Rules<Names> = {
  eq: isBool,
  ne: isBool,
  lt: isBool,
  le: isBool,
  gt: isBool,
  ge: isBool,
  isnan: isBool,
  isinf: isBool,
  isfinite: isBool,
  all: isBool,
  any: isBool,
  argmax: isBool,
  argmin: isBool,
  logical_and: isBool,
  logical_or: isBool,
  logical_xor: isBool,
  logical_not: isBool,
  bitwise_and: isBool,
  bitwise_or: isBool,
  bitwise_xor: isBool,
  bitwise_not: isBool,
};
