import type { KVCache } from "@openelm/nn";
import type { Tensor } from "@openelm/tensor";

/** What generation needs of a tokenizer; the class of `@openelm/data` has it. */
export interface Tokenizer {
  encode(text: string): Promise<Int32Array>;
  decode(ids: Int32Array | readonly number[]): Promise<string>;
  /** Turns ids into text as they come; a character that takes several tokens comes with its last. */
  stream(): { push(id: number): string; end(): string };
}

/** What one pass of a {@link CausalModel} brings beside its tokens. */
export interface PassContext {
  /** Earlier positions; the new ones are added. */
  readonly cache: KVCache;
  /** Which logits are wanted: those of the last position, or of one position in each row, `[batch]` i32. Default: all. */
  readonly last?: boolean | Tensor | undefined;
}

/** What generation needs of a model. */
export interface CausalModel {
  /** Logits `[batch, time or 1, vocabulary]`. */
  forward(ids: Tensor, context: PassContext): Tensor;
  newCache(options: { readonly batch?: number; readonly capacity?: number }): KVCache;
  readonly config: {
    readonly maxContextLength: number;
    readonly vocabSize: number;
    readonly bosId: number;
    readonly eosId: number;
  };
  /**
   * Whether a recorded pass may be replayed (`device.capture`): nothing in `forward` but the cache depends on how many
   * positions came before. Default `false`.
   */
  readonly replayable?: boolean;
}
