export * from "./binding.js";
export * from "./errors.js";
export { loadNative, platformName } from "./load.js";
