/** What the recording that goes on repeats on the host; undefined while none does. */
let hostSteps: (() => void)[] | undefined;

/** Whether calls are recorded instead of run. */
export const isRecording = (): boolean => hostSteps !== undefined;

/** Runs `fn` with calls said to be recorded, and gives what later replays repeat on the host. */
export function whileRecording(fn: () => void): (() => void)[] {
  const steps: (() => void)[] = [];
  hostSteps = steps;
  try {
    fn();
  } finally {
    hostSteps = undefined;
  }
  return steps;
}

/**
 * Does `step` now, and again with each replay of the recording that goes on, if one does: for what an object knows on the
 * host about tensors that are changed in place.
 *
 * @example
 * ```ts
 * let filled = 0;
 * const buffer = zeros([8]);
 * using fill = device("cpu").capture((x: Tensor) => {
 *   buffer.setAt([":"], x);
 *   onEveryRun(() => filled++);
 * });
 * for (let i = 0; i < 5; i++) fill(ones([]));
 * filled; // 5
 * ```
 */
export function onEveryRun(step: () => void): void {
  step();
  hostSteps?.push(step);
}
