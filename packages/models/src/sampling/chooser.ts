//! From logits to tokens, all on the device.
import { type Device, logSoftmax, type Tensor, tensor, where } from "@openelm/tensor";
import { best, filtered, isGreedy, pick } from "./filters.js";
import type { SamplingOptions } from "./options.js";
import { Penalties, type PenaltySizes } from "./penalties.js";

/** Tokens that were chosen, still on the device. */
export interface Chosen {
  /** `[rows]` i32; −1 where the scores were no numbers. */
  readonly ids: Tensor;
  /** How likely the model held them, `[rows]` f32 natural logarithms. */
  readonly logprobs?: Tensor | undefined;
  /** The likeliest tokens, `[rows, count]`. */
  readonly top?: { readonly ids: Tensor; readonly logprobs: Tensor } | undefined;
}

/** How tokens are chosen, and for what. */
export interface ChooserOptions extends SamplingOptions {
  readonly logprobs?: number | undefined;
}

/** Chooses the tokens of texts, and remembers them where penalties need it. */
export class Chooser {
  readonly greedy: boolean;
  readonly #options: ChooserOptions;
  readonly #penalties: Penalties;
  readonly #device: Device;

  constructor(options: ChooserOptions, sizes: PenaltySizes) {
    this.greedy = isGreedy(options);
    this.#options = options;
    this.#device = sizes.device;
    this.#penalties = new Penalties(options, sizes);
  }

  /** Begins texts that begin with these tokens. */
  restart(prompts: readonly (readonly number[])[]): void {
    this.#penalties.restart();
    if ((this.#options.repetitionPenalty ?? 1) !== 1) this.#see(prompts);
  }

  #see(prompts: readonly (readonly number[])[]): void {
    // Seen twice is seen: a shorter prompt is filled up with its own first token.
    const longest = Math.max(...prompts.map((ids) => ids.length));
    const filled = prompts.flatMap((ids) => Array.from({ length: longest }, (_, i) => ids[i] ?? ids[0]!));
    using rows = tensor(Int32Array.from(filled), { shape: [prompts.length, longest], device: this.#device });
    this.#penalties.see(rows);
  }

  /**
   * The next token of each row.
   *
   * @param logits - `[rows, vocabulary]`.
   * @param uniform - `[rows]` f32 in [0, 1), unless the choice is greedy.
   * @param allowed - `[rows, vocabulary]` bool: what may come at all.
   */
  choose(logits: Tensor, uniform?: Tensor, allowed?: Tensor): Chosen {
    const raw = logits.to("f32");
    const ids = this.draw(this.scores(raw, { allowed }), uniform);
    this.note(ids.clamp({ min: 0 }).reshape([-1, 1]));
    return { ids, ...this.told(raw, ids) };
  }

  /** Scores with penalties; for positions of one sequence after `drafts` see {@link Penalties.apply}. */
  scores(
    raw: Tensor,
    { drafts, allowed }: { drafts?: Tensor | undefined; allowed?: Tensor | undefined } = {},
  ): Tensor {
    const scores = this.#penalties.apply(raw, drafts);
    return allowed === undefined ? scores : where(allowed, scores, Number.NEGATIVE_INFINITY);
  }

  /** A token of each row of scores. */
  draw(scores: Tensor, uniform?: Tensor): Tensor {
    return uniform === undefined ? best(scores) : pick(this.probabilities(scores), uniform);
  }

  /** What tokens are drawn by. */
  probabilities(scores: Tensor): Tensor {
    return filtered(scores, this.#options);
  }

  /** Remembers tokens of the text, `[rows, count]` i32. */
  note(ids: Tensor): void {
    this.#penalties.see(ids);
    this.#penalties.count(ids);
  }

  /** What is told of tokens beside their ids. */
  told(raw: Tensor, ids: Tensor): Omit<Chosen, "ids"> {
    const { logprobs: count } = this.#options;
    if (count === undefined) return {};
    const all = logSoftmax(raw);
    const index = ids.clamp({ min: 0 }).reshape([-1, 1]);
    const logprobs = all.takeAlongAxis(index, { axis: -1 }).reshape([-1]);
    if (count === 0) return { logprobs };
    const { values, indices } = all.topk(Math.min(count, all.shape.at(-1)!));
    return { logprobs, top: { ids: indices, logprobs: values } };
  }

  [Symbol.dispose](): void {
    this.#penalties[Symbol.dispose]();
  }
}
