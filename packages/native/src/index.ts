export type * from "./binding-data.js";
export type * from "./binding-text.js";
export * from "./errors.js";
export { native } from "./load.js";
