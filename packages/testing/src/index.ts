export { allClose, type Comparison } from "./all-close.js";
export { CheckError } from "./check-error.js";
export { type GradCheckOptions, gradCheck } from "./grad-check.js";
export { matchers } from "./matchers.js";
export { expectNoLeaks } from "./no-leaks.js";
export {
  type Checkable,
  checkFunction,
  type OpCheckOptions,
  type OpCheckReport,
  opcheck,
} from "./opcheck.js";
export { collectGarbage, settledTensors } from "./settled-tensors.js";
export { strided } from "./strided.js";
export { TOLERANCES, type Tolerance } from "./tolerances.js";
