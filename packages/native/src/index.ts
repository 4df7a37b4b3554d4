export * from "./binding.js";
export type * from "./binding-data.js";
export type * from "./binding-text.js";
export * from "./errors.js";
export { type BuildInfo, loadNative, type NativeInfo, nativeInfo, platformName } from "./load.js";
