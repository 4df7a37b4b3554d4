/** Measures how fast steps come, over the last ones. */
export class Pace {
  readonly #marks: { readonly time: number; readonly steps: number; readonly tokens: number }[] = [];
  readonly #window: number;
  readonly #now: () => number;

  constructor({ window = 20, now = () => performance.now() }: { window?: number; now?: () => number } = {}) {
    this.#window = window;
    this.#now = now;
  }

  /** Says that so many steps and tokens are done. */
  mark(steps: number, tokens: number): void {
    this.#marks.push({ time: this.#now(), steps, tokens });
    if (this.#marks.length > this.#window + 1) this.#marks.shift();
  }

  /** Forgets what was before, as after a pause. */
  reset(): void {
    this.#marks.length = 0;
  }

  /** Per second; 0 before the second mark. */
  get rate(): { readonly steps: number; readonly tokens: number } {
    const [first, last] = [this.#marks[0], this.#marks.at(-1)];
    if (first === undefined || last === undefined || last.time <= first.time) return { steps: 0, tokens: 0 };
    const seconds = (last.time - first.time) / 1000;
    return { steps: (last.steps - first.steps) / seconds, tokens: (last.tokens - first.tokens) / seconds };
  }
}
