export {
  ConfigError,
  FileError,
  FormatError,
  isOpenELMError,
  OpenELMError,
  UsageError,
} from "@openelm/native";
export {
  type CorenetDataInfo,
  CorenetLoader,
  type CorenetLoaderOptions,
  type CorenetState,
  corenetFiles,
} from "./corenet-loader.js";
export { type Document, type ReadOptions, readDocuments } from "./documents.js";
export { findFiles } from "./files.js";
export { type Batch, Loader } from "./loader.js";
export type { Manifest, ShardInfo, SplitInfo } from "./manifest.js";
export { PackedLoader, type PackedLoaderOptions, type PackedState } from "./packed-loader.js";
export { type PrepareOptions, prepare } from "./prepare.js";
export type { LongWork, Progress } from "./progress.js";
export { PythonRandom } from "./python-random.js";
export { type OpenShardsOptions, openShards, Shards } from "./shards.js";
export type { SpecialTokens } from "./special-tokens.js";
export {
  type DecodeOptions,
  type EncodeOptions,
  Tokenizer,
  type TokenStream,
  type TrainTokenizerOptions,
} from "./tokenizer.js";
