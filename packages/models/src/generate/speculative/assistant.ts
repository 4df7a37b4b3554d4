import { inference } from "@openelm/autograd";
import type { KVCache } from "@openelm/nn";
import { concat, Generator, scope, stack, type Tensor, uniform } from "@openelm/tensor";
import { best, filtered, isGreedy, pick } from "../../sampling/filters.js";
import { commonPrefix } from "../common-prefix.js";
import type { CausalModel } from "../contracts.js";
import type { Decoding } from "../decode.js";
import type { DecodeOptions } from "../options.js";
import { prefill } from "../prefill.js";
import { Replayed } from "../replay.js";
import type { Draft, Drafter } from "./drafter.js";

/** Lets a smaller model write the guesses. Its tokens stay on the device until they are checked. */
export class AssistantDrafter implements Drafter {
  readonly tokens: number;
  readonly #model: CausalModel;
  readonly #cache: KVCache;
  readonly #options: DecodeOptions;
  readonly #generator: Generator;
  readonly #step: Replayed<Guess>;
  /** The tokens that the cache stands for. */
  #read: readonly number[] = [];
  /** How many of the last draft's guesses the cache holds. */
  #fed = 0;

  constructor(
    model: CausalModel,
    { tokens = 4, decoding }: { readonly tokens?: number | undefined; readonly decoding: Decoding },
  ) {
    const { prompts, most, options } = decoding;
    this.tokens = tokens;
    this.#model = model;
    this.#options = options;
    this.#cache = model.newCache({ capacity: prompts[0]!.length + most + tokens });
    // Its numbers must be independent of those that decide what is taken.
    this.#generator = new Generator(options.seed ?? 0).fork("draft");
    this.#step = new Replayed(
      (input, uniform) =>
        inference(() => {
          const logits = model.forward(input!, { cache: this.#cache, last: true }).at(":", -1) as Tensor;
          return this.#guess(logits, uniform);
        }),
      [this.#cache],
      options.capture ?? model.replayable ?? false,
    );
  }

  async draft(ids: readonly number[]): Promise<Draft | undefined> {
    const count = this.tokens;
    // A text may be longer than what this model can read.
    if (ids.length + count > this.#model.config.maxContextLength) return undefined;
    const shared = commonPrefix(this.#read, ids, ids.length - 1);
    this.#cache.crop(shared);
    const logits = await prefill(this.#model, [ids.slice(shared)], {
      cache: this.#cache,
      chunk: this.#options.prefillChunk,
      signal: this.#options.signal,
    });
    const guesses: Guess[] = [];
    try {
      guesses.push(inference(() => scope(() => this.#guess(logits, this.#uniform()))));
      while (guesses.length < count) {
        using draw = this.#uniform();
        guesses.push(this.#step.run(guesses.at(-1)!.next, draw));
      }
      this.#read = ids;
      this.#fed = count - 1;
      return inference(() =>
        scope(() => ({
          ids: concat(guesses.map(({ next }) => next.reshape([1]))),
          probabilities:
            guesses[0]!.probabilities &&
            stack(guesses.map(({ probabilities }) => probabilities!.reshape([-1]))),
        })),
      );
    } finally {
      logits.dispose();
      for (const { next, probabilities } of guesses) {
        next.dispose();
        probabilities?.dispose();
      }
    }
  }

  checked(guesses: readonly number[]): void {
    this.#read = [...this.#read, ...guesses.slice(0, this.#fed)];
    this.#fed = 0;
  }

  #uniform(): Tensor | undefined {
    if (isGreedy(this.#options)) return undefined;
    return uniform([1], { generator: this.#generator, dtype: "f32", device: this.#cache.device });
  }

  /** A guess is drawn by temperature and filters alone: whatever it is drawn by, the check makes the text right. */
  #guess(logits: Tensor, uniform: Tensor | undefined): Guess {
    const scores = logits.to("f32");
    const next = (ids: Tensor): Tensor => ids.clamp({ min: 0 }).reshape([1, 1]);
    if (uniform === undefined) return { next: next(best(scores)) };
    const probabilities = filtered(scores, this.#options);
    return { next: next(pick(probabilities, uniform)), probabilities };
  }

  [Symbol.dispose](): void {
    this.#step[Symbol.dispose]();
    this.#cache.dispose();
  }
}

/** One guess on the device. */
interface Guess {
  /** `[1, 1]` i32. */
  readonly next: Tensor;
  /** `[1, vocabulary]` f32, unless it is the best token. */
  readonly probabilities?: Tensor;
}
