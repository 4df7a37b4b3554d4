/** Holds text back as long as it may be the beginning of a stop text. */
export class StopFilter {
  #held = "";
  found = false;
  readonly #stops: readonly string[];

  constructor(stops: readonly string[]) {
    this.#stops = stops.filter((stop) => stop !== "");
  }

  push(text: string): string {
    this.#held += text;
    const at = Math.min(
      ...this.#stops.map((stop) => this.#held.indexOf(stop)).filter((i) => i >= 0),
      Number.POSITIVE_INFINITY,
    );
    if (at !== Number.POSITIVE_INFINITY) {
      this.found = true;
      return this.#held.slice(0, at);
    }
    const keep = Math.max(0, ...this.#stops.map((stop) => overlap(this.#held, stop)));
    const out = this.#held.slice(0, this.#held.length - keep);
    this.#held = this.#held.slice(out.length);
    return out;
  }

  end(): string {
    return this.found ? "" : this.#held;
  }
}

/** How much of the end of `text` is the beginning of `stop`. */
function overlap(text: string, stop: string): number {
  for (let length = Math.min(text.length, stop.length - 1); length > 0; length--) {
    if (text.endsWith(stop.slice(0, length))) return length;
  }
  return 0;
}
