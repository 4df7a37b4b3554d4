/// <reference lib="esnext.disposable" />
export { averageCheckpoints } from "./checkpoint/average.js";
export { type FileFacts, writeFileDurably, writeFolderDurably } from "./checkpoint/durable.js";
export { type ModelFiles, type ModelFilesOptions, modelFiles } from "./checkpoint/model-files.js";
export type { RunState, StateFile } from "./checkpoint/state.js";
export {
  CheckpointStore,
  checkpointName,
  type Found,
  type Retention,
  type Snapshot,
  verify as verifyCheckpoint,
} from "./checkpoint/store.js";
export { parseTrainConfig } from "./config/parse.js";
export { type PrintOptions, printTrainConfig } from "./config/print.js";
export { configSchedule } from "./config/schedule.js";
export {
  configJsonSchema,
  type JsonSchema,
  type TrainConfig,
  type TrainConfigInput,
} from "./config/schema.js";
export { type ConfigSource, loadTrainConfig, parseTrainYaml } from "./config/yaml.js";
export type { Batch, LanguageModel, Loader, LossBatch } from "./loop/contracts.js";
export { type EvaluateOptions, evaluate } from "./loop/evaluate.js";
export type * from "./loop/events.js";
export type {
  CheckpointOptions,
  EvaluationOptions,
  Every,
  SampleOptions,
  TrainerOptions,
} from "./loop/options.js";
export { DivergedError, type RunOptions, Trainer } from "./loop/trainer.js";
export type { Precision } from "./loop/update.js";
export type { CaptureMode } from "./loop/updates.js";
export { JsonlLog, type LogLine } from "./metrics/jsonl.js";
export { TensorBoardWriter } from "./metrics/tensorboard.js";
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
