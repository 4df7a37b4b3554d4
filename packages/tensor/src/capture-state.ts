let recording = false;

/** Whether calls are recorded instead of run. */
export const isRecording = (): boolean => recording;

/** Runs `fn` with calls said to be recorded. */
export function whileRecording<T>(fn: () => T): T {
  recording = true;
  try {
    return fn();
  } finally {
    recording = false;
  }
}
