export { accumulate } from "./accumulate.js";
export { checkpoint } from "./checkpoint.js";
export { type DefinedOp, defineOp, type OpDefinition } from "./define-op.js";
export { RULES } from "./generated/rules.js";
export { Gradients } from "./gradients.js";
export { inference } from "./inference.js";
export type { GradientsOf } from "./leaves.js";
export {
  type InputGrads,
  type NotDifferentiable,
  notDifferentiable,
  type Rule,
  type RuleContext,
  type Rules,
  type Spec,
  type Wants,
} from "./rule.js";
export { stopGradient } from "./stop-gradient.js";
export { spread, sumTo } from "./sum-to.js";
export {
  grad,
  type LossResult,
  type Pull,
  type ValueAndGrad,
  valueAndGrad,
  vjp,
  type WrtOptions,
} from "./vjp.js";
