//! The step of one token, kept from text to text: a conversation records it once.
import { inference } from "@openelm/autograd";
import type { KVCache } from "@openelm/nn";
import type { Tensor } from "@openelm/tensor";
import { Chooser, type ChooserOptions, type Chosen } from "../sampling/chooser.js";
import { biases } from "../sampling/options.js";
import type { CausalModel } from "./contracts.js";
import { Replayed } from "./replay.js";

/** A choice with what the next step is fed, `[rows, 1]` i32. */
export interface Stepped extends Chosen {
  readonly next: Tensor;
}

/** How a step is made. */
export interface StepOptions extends ChooserOptions {
  readonly capture?: boolean | undefined;
}

/** Steps of one model on one cache, which choose in one way. */
export class Step {
  readonly chooser: Chooser;
  readonly #pass: Replayed<Stepped>;

  constructor(model: CausalModel, cache: KVCache, options: StepOptions) {
    const { vocabSize: vocabulary } = model.config;
    this.chooser = new Chooser(options, { vocabulary, device: cache.device, rows: cache.batch });
    this.#pass = new Replayed(
      (input, uniform, allowed) =>
        inference(() =>
          this.choose(model.forward(input!, { cache, last: true }).at(":", -1) as Tensor, uniform, allowed),
        ),
      [cache],
      options.capture ?? model.replayable ?? false,
    );
  }

  /** Feeds tokens and chooses the next ones; `uniform` and `allowed` as {@link Chooser.choose} has them. */
  run(input: Tensor, uniform?: Tensor, allowed?: Tensor): Stepped {
    return this.#pass.run(input, uniform, allowed);
  }

  /** Chooses after logits. A row without a token goes on with token 0 until the host has read that. */
  choose(logits: Tensor, uniform?: Tensor, allowed?: Tensor): Stepped {
    const chosen = this.chooser.choose(logits, uniform, allowed);
    return { ...chosen, next: chosen.ids.clamp({ min: 0 }).reshape([-1, 1]) };
  }

  [Symbol.dispose](): void {
    this.#pass[Symbol.dispose]();
    this.chooser[Symbol.dispose]();
  }
}

/** Keeps the last step of a cache, as long as it is asked for by the same model in the same way. */
export class StepKeeper {
  #kept: { readonly model: CausalModel; readonly key: string; readonly step: Step } | undefined;

  /** The step for texts that begin with these tokens. */
  step(
    model: CausalModel,
    cache: KVCache,
    { options, prompts }: { readonly options: StepOptions; readonly prompts: readonly (readonly number[])[] },
  ): Step {
    const key = keyOf(options);
    if (this.#kept?.model !== model || this.#kept.key !== key) {
      this.drop();
      this.#kept = { model, key, step: new Step(model, cache, options) };
    }
    const { step } = this.#kept;
    step.chooser.restart(prompts);
    return step;
  }

  /** Frees it. */
  drop(): void {
    this.#kept?.step[Symbol.dispose]();
    this.#kept = undefined;
  }

  [Symbol.dispose](): void {
    this.drop();
  }
}

/** What a recorded step depends on. */
function keyOf(options: StepOptions): string {
  const { temperature, topK, topP, minP, repetitionPenalty, presencePenalty, frequencyPenalty } = options;
  const { logprobs, capture, logitBias } = options;
  const numbers = [
    temperature,
    topK,
    topP,
    minP,
    repetitionPenalty,
    presencePenalty,
    frequencyPenalty,
    logprobs,
  ];
  // Not JSON, which has no −Infinity.
  return [...numbers, capture, ...biases(logitBias).flat()].map(String).join();
}
