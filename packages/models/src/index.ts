export {
  type CausalModel,
  generate,
  type GenerateEvent,
  type GenerateOptions,
  type GenerateResult,
  type Generation,
  type Tokenizer,
} from "./generate.js";
export { CORENET_NAMES, HF_NAMES } from "./openelm/checkpoint-names.js";
export { OPENELM_SIZES, type OpenELMConfig, openelmConfig, type OpenELMOptions, type OpenELMSize } from "./openelm/config.js";
export { loadOpenELM, type LoadModelOptions, readConfig, saveOpenELM } from "./openelm/files.js";
export { fromHFConfig, type HFConfig, toHFConfig } from "./openelm/hf-config.js";
export { type LayerShape, layerwiseScaling, type LayerwiseScalingOptions, type Multipliers } from "./openelm/layerwise-scaling.js";
export { type LossBatch, OpenELM, type OpenELMContext, OpenELMLayer } from "./openelm/model.js";
export { sample, type SamplingOptions } from "./sampling.js";
