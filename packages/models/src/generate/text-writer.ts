import type { Tokenizer } from "./contracts.js";
import { StopFilter } from "./stop-filter.js";

/** Why a text ended. */
export type FinishReason = "stop" | "length";

/** Turns tokens into text up to a stop token or text. */
export class TextWriter {
  finishReason: FinishReason = "length";
  /** Whether a stop token or text has come. */
  isDone = false;
  readonly #stream: ReturnType<Tokenizer["stream"]>;
  readonly #stops: StopFilter;
  readonly #stopIds: ReadonlySet<number>;

  constructor(tokenizer: Tokenizer, stop: string | readonly string[] = [], stopIds: readonly number[] = []) {
    this.#stream = tokenizer.stream();
    this.#stops = new StopFilter([stop].flat());
    this.#stopIds = new Set(stopIds);
  }

  /** The text that a token completes; undefined for a stop token, which is not part of the text. */
  push(id: number): string | undefined {
    if (this.#stopIds.has(id)) {
      this.#finish();
      return undefined;
    }
    const text = this.#stops.push(this.#stream.push(id));
    if (this.#stops.found) this.#finish();
    return text;
  }

  /** What was held back; call it once, after the last token. */
  end(): string {
    if (this.#stops.found) return "";
    const rest = this.#stops.push(this.#stream.end()) + this.#stops.end();
    if (this.#stops.found) this.#finish();
    return rest;
  }

  #finish(): void {
    this.isDone = true;
    this.finishReason = "stop";
  }
}
