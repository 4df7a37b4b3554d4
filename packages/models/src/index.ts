export { type Converted, type ConvertOptions, convertModel } from "./convert/convert.js";
export { type OpenModelOptions, openModel } from "./convert/open-model.js";
export type { FolderLayout, ModelFormat, ModelSource } from "./convert/source.js";
export { VOCABULARIES, type VocabularySize } from "./convert/vocabulary/size.js";
export type { Encoding, ScaleName, Weight } from "./convert/weight.js";
export type { ConvertProgress } from "./convert/write-weight.js";
export {
  type CausalModel,
  type FinishReason,
  type GenerateEvent,
  type GenerateOptions,
  type GenerateResult,
  type Generation,
  generate,
  type Tokenizer,
} from "./generate.js";
export { CORENET_NAMES, HF_NAMES } from "./openelm/checkpoint-names.js";
export {
  OPENELM_SIZES,
  type OpenELMConfig,
  type OpenELMOptions,
  type OpenELMSize,
  openelmConfig,
} from "./openelm/config.js";
export { readConfig, saveOpenELM } from "./openelm/files.js";
export { fromHFConfig, type HFConfig, toHFConfig } from "./openelm/hf-config.js";
export {
  type LayerShape,
  type LayerwiseScalingOptions,
  layerwiseScaling,
  type Multipliers,
} from "./openelm/layerwise-scaling.js";
export {
  type LoadModelOptions,
  type LossBatch,
  OpenELM,
  type OpenELMContext,
  OpenELMLayer,
  type ResidualStream,
} from "./openelm/model.js";
export { type SampleContext, type SamplingOptions, sample } from "./sampling.js";
