export { AdamW, type AdamWOptions } from "./optim/adamw.js";
export { type Clip, clipGlobalNorm } from "./optim/clip.js";
export { type DecayRule, decayMatrices, type Optimizer, type StepOptions } from "./optim/optimizer.js";
export { SGD, type SGDOptions } from "./optim/sgd.js";
export {
  type ConstantOptions,
  type CosineOptions,
  constantSchedule,
  cosineSchedule,
  createSchedule,
  type LinearOptions,
  linearSchedule,
  type Schedule,
  type ScheduleOptions,
  type WsdOptions,
  wsdSchedule,
} from "./schedule.js";
