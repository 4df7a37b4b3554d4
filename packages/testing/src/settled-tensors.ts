import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { liveTensors } from "@openelm/tensor";

let collectGarbage: (() => void) | undefined;

/**
 * How many tensors live once those that nothing refers to any more are gone.
 *
 * A test that counts tensors starts from this number: what earlier tests have dropped would otherwise go at a time of the
 * garbage collector's choosing, between the two counts as well. It forces a whole collection, which takes some milliseconds.
 *
 * @example
 * ```ts
 * const before = settledTensors();
 * const x = ones([2]);
 * liveTensors() - before; // 1
 * ```
 */
export function settledTensors(): number {
  if (!collectGarbage) {
    // Node gives the function to new contexts only, once the flag is set.
    setFlagsFromString("--expose-gc");
    collectGarbage = runInNewContext("gc") as () => void;
  }
  collectGarbage();
  return liveTensors();
}
