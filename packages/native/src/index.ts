export * from "./binding.js";
export * from "./errors.js";
export { type BuildInfo, loadNative, type NativeInfo, nativeInfo, platformName } from "./load.js";
