import { UsageError } from "@openelm/native";
import type { KVCache } from "@openelm/nn";
import { commonPrefix } from "./common-prefix.js";
import type { CausalModel } from "./contracts.js";
import { StepKeeper } from "./step.js";

/**
 * Keys and values of tokens that a model has read, with these tokens: what a later prompt has in common with them need not
 * be read again. One generation at a time may use it.
 *
 * @example
 * ```ts
 * using promptCache = PromptCache.empty(model);
 * const options = { tokenizer, promptCache, maxTokens: 8 };
 * const { ids } = await generate(model, "ocean (noun):", options).result();
 * promptCache.ids.length; // 21
 * ```
 */
export class PromptCache {
  readonly cache: KVCache;
  /** The recorded step of the last text, for the next. @internal */
  readonly steps = new StepKeeper();
  #ids: readonly number[];
  #inUse = false;

  /** @param ids - The tokens that `cache` stands for. */
  constructor(cache: KVCache, ids: readonly number[] = []) {
    if (cache.batch !== 1 || cache.length !== ids.length) {
      throw new UsageError(
        `PromptCache: a cache of one row and as many tokens as it holds are needed, got ${cache.batch} rows of ` +
          `${cache.length} positions and ${ids.length} tokens`,
      );
    }
    this.cache = cache;
    this.#ids = [...ids];
  }

  /** One that holds nothing yet, for so many positions (the model's context). */
  static empty(model: CausalModel, capacity: number = model.config.maxContextLength): PromptCache {
    return new PromptCache(model.newCache({ capacity }));
  }

  /** The tokens that it holds. */
  get ids(): readonly number[] {
    return this.#ids;
  }

  /**
   * Keeps what a text has in common with what is held, but for its last token, whose logits are wanted.
   *
   * @throws UsageError if another generation uses it, or it is too small.
   * @internal
   */
  begin(ids: readonly number[], most: number): { end(ids: readonly number[]): void } {
    if (this.#inUse) throw new UsageError("PromptCache: another generation uses it; one at a time can");
    if (ids.length + most > this.cache.capacity) {
      throw new UsageError(
        `PromptCache: ${ids.length} tokens and ${most} more do not fit its capacity of ${this.cache.capacity}; ` +
          "set maxTokens lower, or make a larger one",
      );
    }
    this.#inUse = true;
    this.#crop(commonPrefix(this.#ids, ids, ids.length - 1));
    return {
      end: (text) => {
        this.#inUse = false;
        // What was read beyond the text was read in advance.
        this.#ids = text.slice(0, this.cache.length);
        this.#crop(this.#ids.length);
      },
    };
  }

  /** Forgets all tokens from a number on. */
  crop(length: number): void {
    if (this.#inUse) throw new UsageError("PromptCache: a generation uses it");
    this.#crop(length);
  }

  #crop(length: number): void {
    this.cache.crop(length);
    this.#ids = this.#ids.slice(0, length);
  }

  dispose(): void {
    this.steps.drop();
    this.cache.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
