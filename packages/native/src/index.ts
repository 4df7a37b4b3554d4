export * from "./binding.js";
export type * from "./binding-data.js";
export type * from "./binding-text.js";
export * from "./errors.js";
export { loadNative, platformName } from "./load.js";
