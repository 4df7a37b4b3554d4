import type { DeviceLike } from "./device.js";
import type { DType } from "./dtype.js";
import { refuseAsync, type Synchronous } from "./scope.js";

/** What calls take when they are not told. */
export interface Defaults {
  readonly device: DeviceLike;
  /** Dtype of `zeros`, `uniform`, … and of parameters. */
  readonly dtype: DType;
  /** Seed of the generator that modules take their initial values from. */
  readonly seed: number;
}

// The variable runs a whole program elsewhere, such as the tests on a GPU.
let current: Defaults = { device: process.env.OPENELM_DEVICE ?? "cpu", dtype: "f32", seed: 0 };

/** The defaults in force. */
export const defaults = (): Defaults => current;

/**
 * Runs `fn` with other defaults.
 *
 * @throws UsageError `ASYNC_SCOPE` if `fn` returns a promise.
 * @example
 * ```ts
 * const x = withDefaults({ device: "meta" }, () => zeros([1_000_000, 1_000_000])); // no memory
 * ```
 */
export function withDefaults<T>(changes: Partial<Defaults>, fn: () => Synchronous<T>): T {
  const outer = current;
  current = { ...outer, ...changes };
  try {
    const result = fn() as T;
    refuseAsync(result, "withDefaults");
    return result;
  } finally {
    current = outer;
  }
}
