export { LoRA, type LoRALayer, type LoRAOptions, type LoRASettings } from "./adapters/lora.js";
export { LoRAEmbedding, LoRAQuantizedEmbedding } from "./adapters/lora-embedding.js";
export { LoRALinear, LoRAQuantizedLinear } from "./adapters/lora-linear.js";
export { LowRank, type LowRankOptions, LowRankRows } from "./adapters/low-rank.js";
export { linear, type Product } from "./functional/linear.js";
export * from "./functional/losses.js";
export type { Init, InitContext } from "./init.js";
export * as init from "./init.js";
export { type CacheLayer, KVCache, type KVCacheOptions, type LayerCache } from "./kv-cache.js";
export { Attention, type AttentionContext, type AttentionOptions } from "./layers/attention.js";
export { Dropout } from "./layers/dropout.js";
export { Embedding, type EmbeddingOptions } from "./layers/embedding.js";
export { ACTIVATIONS, type Activation, FeedForward, type FeedForwardOptions } from "./layers/feed-forward.js";
export { LayerNorm, type LayerNormOptions } from "./layers/layer-norm.js";
export { Linear, type LinearOptions } from "./layers/linear.js";
export {
  QuantizedEmbedding,
  type QuantizedEmbeddingOptions,
} from "./layers/quantized-embedding.js";
export { QuantizedLinear, type QuantizedLinearOptions } from "./layers/quantized-linear.js";
export { RMSNorm, type RMSNormOptions } from "./layers/rms-norm.js";
export { type Adapter, type LoadOptions, Module, type ModuleTarget, type NameMap } from "./module.js";
export { Buffer, Parameter, type ParameterOptions } from "./parameter.js";
export { type GptqOptions, gptq } from "./quantization/gptq.js";
export { type QuantizeOptions, quantize } from "./quantize.js";
