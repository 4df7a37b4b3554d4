import { refuseAsync, type Synchronous } from "@openelm/tensor";
import { untaped } from "./tape.js";

/**
 * Runs `fn` without recording it for any gradient: its results are constants.
 *
 * @throws UsageError `ASYNC_SCOPE` if `fn` returns a promise or an iterator.
 * @example
 * ```ts
 * const target = inference(() => teacher.forward(x));
 * ```
 */
export function inference<T>(fn: () => Synchronous<T>): T {
  return untaped(() => {
    const result = fn() as T;
    refuseAsync(result, "inference");
    return result;
  });
}
