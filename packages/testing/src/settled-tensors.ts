import { setImmediate } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { liveTensors } from "@openelm/tensor";

let collect: (() => void) | undefined;

/**
 * Runs a whole collection of garbage, which takes some milliseconds.
 *
 * A test that counts tensors begins with it: what earlier tests have dropped would otherwise go at a time of the collector's
 * choosing, between its two counts as well. A test that waits in between begins with {@link settledTensors}.
 *
 * @example
 * ```ts
 * collectGarbage();
 * const before = liveTensors();
 * const x = ones([2]);
 * liveTensors() - before; // 1
 * ```
 */
export function collectGarbage(): void {
  if (!collect) {
    // Node gives the function to new contexts only, once the flag is set.
    setFlagsFromString("--expose-gc");
    collect = runInNewContext("gc") as () => void;
  }
  collect();
}

/**
 * How many tensors live once those that nothing refers to any more are gone, and those that went with them: what is freed
 * when a tape or a recording is collected goes in a later turn of the event loop.
 *
 * @example
 * ```ts
 * const before = await settledTensors();
 * const x = ones([2]);
 * liveTensors() - before; // 1
 * ```
 */
export async function settledTensors(): Promise<number> {
  let [before, count] = [Number.NaN, liveTensors()];
  while (count !== before) {
    before = count;
    // Twice: a task that was waiting may hold what it is about to let go.
    for (let i = 0; i < 2; i++) {
      await setImmediate();
      collectGarbage();
    }
    await setImmediate();
    count = liveTensors();
  }
  return count;
}
