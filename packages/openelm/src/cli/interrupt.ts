//! Ctrl-C: the first stops in order, the second at once.

/** Why an operation was stopped by its user. */
export class Interrupted extends Error {
  constructor() {
    super("interrupted");
    this.name = "Interrupted";
  }
}

/** The exit code of programs that Ctrl-C ended. */
export const INTERRUPTED_CODE = 130;

/**
 * Runs `body` with a signal that aborts at the first Ctrl-C or SIGTERM. The second one ends the process.
 *
 * `onInterrupt` says what happens now, such as that a checkpoint is written.
 */
export async function interruptible<T>(
  body: (signal: AbortSignal) => Promise<T>,
  onInterrupt: () => void = () => undefined,
): Promise<T> {
  const controller = new AbortController();
  const stop = (): void => {
    if (controller.signal.aborted) process.exit(INTERRUPTED_CODE);
    controller.abort(new Interrupted());
    onInterrupt();
  };
  process.on("SIGINT", stop);
  process.on("SIGTERM", stop);
  try {
    return await body(controller.signal);
  } finally {
    process.off("SIGINT", stop);
    process.off("SIGTERM", stop);
  }
}
