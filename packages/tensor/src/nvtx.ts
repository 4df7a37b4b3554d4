import { core } from "./core.js";

/** Whether profilers are to see ranges; the core asks the same variable. @internal */
export const SHOWS_RANGES = process.env.OPENELM_NVTX === "1";

/**
 * Calls `fn` and gives its result; NVIDIA's profilers show what it submits to a GPU as a range called `name`.
 *
 * Ranges lie inside each other, and each op has one of its own. They are there when `OPENELM_NVTX=1`; otherwise this only
 * calls `fn`. Of an asynchronous function the range holds what it does before its first `await`, and of a recording
 * (`device.capture`) nothing but the replay.
 *
 * @example
 * ```ts
 * nvtxRange("norm", () => ones([2, 2]).mul(2).sum()).itemSync(); // 8
 * ```
 * @see NVTX, NVIDIA Tools Extension, https://nvidia.github.io/NVTX
 */
export function nvtxRange<T>(name: string, fn: () => T): T {
  if (!SHOWS_RANGES) return fn();
  core.rangeBegin(name);
  try {
    return fn();
  } finally {
    core.rangeEnd();
  }
}
