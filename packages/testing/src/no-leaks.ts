import { liveTensors, scope } from "@openelm/tensor";
import { CheckError } from "./check-error.js";
import { collectGarbage } from "./settled-tensors.js";

/**
 * Checks that nothing that `fn` makes outlives it.
 *
 * `fn` runs twice, each time in a scope: the first run may fill caches and give lazy parameters their values, the second
 * must leave as many tensors as it found.
 *
 * @throws CheckError with the number of tensors that are left.
 * @example
 * ```ts
 * expectNoLeaks(() => {
 *   const { grads } = lossAndGrad(model, batch);
 *   optimizer.step(model, grads);
 * });
 * ```
 */
export function expectNoLeaks(fn: () => void): void {
  const run = (): void =>
    scope(() => {
      fn();
    });
  run();
  collectGarbage();
  const before = liveTensors();
  run();
  const after = liveTensors();
  if (after > before) {
    const count = after - before;
    throw new CheckError(
      `${count} tensor${count > 1 ? "s" : ""} outlived the function; free them, or keep them out of it`,
    );
  }
}
