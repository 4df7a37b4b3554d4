import type { Tensor, TensorData } from "@openelm/tensor";
import { allClose } from "./all-close.js";
import type { Tolerance } from "./tolerances.js";

interface MatcherResult {
  readonly pass: boolean;
  message(): string;
}

/**
 * Matchers for `expect.extend` of vitest or Jest, all synchronous: one whose `await` is forgotten would pass.
 *
 * `import "@openelm/testing/vitest"` installs them with their types.
 *
 * @example
 * ```ts
 * import "@openelm/testing/vitest";
 * import { expect } from "vitest";
 *
 * expect(x.matmul(y)).toBeAllClose([[19, 22], [43, 50]]);
 * ```
 */
export const matchers = {
  toBeAllClose(actual: unknown, expected: Tensor | TensorData, options?: Partial<Tolerance>): MatcherResult {
    const { close, message } = allClose(actual, expected, options);
    return { pass: close, message: () => (close ? `expected the tensors to differ; ${message}` : message) };
  },
};
