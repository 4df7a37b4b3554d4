//! Installs the matchers in vitest: `import "@openelm/testing/vitest"`.
import type { Tensor, TensorData } from "@openelm/tensor";
import { expect } from "vitest";
import { matchers } from "./matchers.js";
import type { Tolerance } from "./tolerances.js";

declare module "vitest" {
  // biome-ignore lint/suspicious/noExplicitAny: an augmentation repeats the parameters of what it augments
  interface Assertion<T = any> {
    /** Whether every element is within the tolerance of the dtype, or the given one, of what is expected. */
    toBeAllClose(expected: Tensor | TensorData, options?: Partial<Tolerance>): T;
  }
}

expect.extend(matchers);
