/** How far long work has come. */
export interface Progress {
  /** What is being done, in one word. */
  readonly phase: string;
  readonly done: number;
  readonly total?: number;
  /** What `done` and `total` count. */
  readonly unit: string;
  /** Units a second. */
  readonly rate?: number;
  readonly metrics?: Readonly<Record<string, number>>;
}

/** What everything that takes long accepts. */
export interface LongWork {
  /** Stops the work; it rejects with the signal's reason after cleaning up. */
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: Progress) => void) | undefined;
}

/** Adds the rate since it was made to the progress of one phase. */
export class Rate {
  readonly #start = performance.now();
  #first: number | undefined;

  of(done: number): { rate: number } | Record<string, never> {
    // A run that goes on where another stopped begins with work that it has not done.
    this.#first ??= done;
    const seconds = (performance.now() - this.#start) / 1000;
    return seconds > 0 && done > this.#first ? { rate: (done - this.#first) / seconds } : {};
  }
}
