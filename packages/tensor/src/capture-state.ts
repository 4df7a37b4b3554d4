import type { Draws } from "./draws.js";

/** What the recording that goes on notes for its replays. */
interface Notes {
  readonly draws: Draws;
  /** What each replay repeats on the host. */
  readonly hostSteps: (() => void)[];
}

/** Undefined while nothing is recorded. */
let notes: Notes | undefined;

/** Whether calls are recorded instead of run. */
export const isRecording = (): boolean => notes !== undefined;

/** The random numbers of the recording that goes on. */
export const currentDraws = (): Draws | undefined => notes?.draws;

/** Runs `fn` with calls said to be recorded, and gives what later replays repeat on the host. */
export function whileRecording(draws: Draws, fn: () => void): (() => void)[] {
  const hostSteps: (() => void)[] = [];
  notes = { draws, hostSteps };
  try {
    fn();
  } finally {
    notes = undefined;
  }
  return hostSteps;
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
  notes?.hostSteps.push(step);
}
