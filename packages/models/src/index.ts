export type { AdapterFormat } from "./adapters/adapter-file.js";
export {
  type ConvertAdapterOptions,
  type ConvertedAdapter,
  convertAdapter,
} from "./adapters/convert-adapter.js";
export {
  type LoadAdapterOptions,
  loadAdapter,
  type SaveAdapterOptions,
  saveAdapter,
} from "./adapters/lora-files.js";
export { isAdapterFolder } from "./adapters/read-adapter.js";
export { type AnswerOptions, Conversation, type ConversationOptions } from "./chat/conversation.js";
export { type ChatTokenizer, encodeConversation } from "./chat/encode.js";
export { ChatTemplate, type Message, type TemplateTokens } from "./chat/template.js";
export type { Constraint } from "./constrain/constraint.js";
export {
  GrammarConstraint,
  type GrammarOptions,
  Grammars,
  type GrammarTokenizer,
} from "./constrain/grammar.js";
export { type CodeOptions, type Converted, type ConvertOptions, convertModel } from "./convert/convert.js";
export { namedConfig, type OpenModelOptions, openModel } from "./convert/open-model.js";
export type { FolderLayout, ModelFormat, ModelSource } from "./convert/source.js";
export { VOCABULARIES, type VocabularySize } from "./convert/vocabulary/size.js";
export type { Encoding, ScaleName, Weight } from "./convert/weight.js";
export type { ConvertProgress } from "./convert/write-weight.js";
export {
  type Divergence,
  type PerplexityOptions,
  type PerplexityProgress,
  type PerplexityResult,
  perplexity,
  type TextScore,
} from "./evaluate/perplexity.js";
export { type BatchEvent, type BatchGeneration, generateBatch } from "./generate/batch.js";
export type { CausalModel, PassContext, Tokenizer } from "./generate/contracts.js";
export {
  type GenerateEvent,
  type GenerateOptions,
  type GenerateResult,
  type Generation,
  generate,
  type Usage,
} from "./generate/generate.js";
export type { DecodeOptions, DraftOptions } from "./generate/options.js";
export { type PrefillOptions, prefill } from "./generate/prefill.js";
export type { Prompt } from "./generate/prompt.js";
export { PromptCache } from "./generate/prompt-cache.js";
export { loadPromptCache, savePromptCache } from "./generate/prompt-cache-file.js";
export type { FinishReason } from "./generate/text-writer.js";
export type { Token, TokenLogprob } from "./generate/tokens.js";
export { type DownloadProgress, type FetchModelOptions, fetchModel, isHubName } from "./hub/fetch-model.js";
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
export { type CalibrateOptions, type CalibrationProgress, calibrate } from "./quantize/calibrate.js";
export type { Calibration } from "./quantize/calibrated.js";
export {
  type QuantizedModel,
  type QuantizeModelOptions,
  quantizeModel,
} from "./quantize/quantize-model.js";
export type { SamplingOptions } from "./sampling/options.js";
export { type SampleContext, sample } from "./sampling/sample.js";
