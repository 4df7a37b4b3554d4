import { notDifferentiable, type Rules } from "../rule.js";

const inPlace = notDifferentiable("it writes in place");

type Names =
  | "assign"
  | "assign_rows"
  | "cache_write"
  | "qk_norm_rope_cache"
  | "accumulate"
  | "adamw"
  | "sgd"
  | "sgd_momentum"
  | "global_norm";

/** Ops that change a tensor, and the norm that optimizers clip by. */
export const rules: Rules<Names> = {
  assign: inPlace,
  assign_rows: inPlace,
  cache_write: inPlace,
  qk_norm_rope_cache: inPlace,
  accumulate: inPlace,
  adamw: inPlace,
  sgd: inPlace,
  sgd_momentum: inPlace,
  global_norm: notDifferentiable(
    "it is for clipping gradients; write concat and square for a norm with a gradient",
  ),
};
