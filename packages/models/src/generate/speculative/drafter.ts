import type { Tensor } from "@openelm/tensor";
import type { Decoding } from "../decode.js";
import type { DraftOptions } from "../options.js";
import { AssistantDrafter } from "./assistant.js";
import { PromptLookup } from "./prompt-lookup.js";

/** Guesses of the next tokens. */
export interface Draft {
  /** `[count]` i32, on the device of the model that checks them; freed by who asked for the draft. */
  readonly ids: Tensor;
  /** What they were drawn by, `[count, vocabulary]` f32; absent where each was certain. */
  readonly probabilities?: Tensor | undefined;
}

/** Guesses the next tokens of a text. */
export interface Drafter {
  /** How many guesses a draft has: always as many, so that one recording of their check serves all. */
  readonly tokens: number;
  /**
   * @param ids - All tokens of the text.
   * @returns Nothing where there is nothing to guess by.
   */
  draft(ids: readonly number[]): Draft | undefined | Promise<Draft | undefined>;
  /** Hears which tokens its last draft had, as the host learns them only with the check. */
  checked(guesses: readonly number[]): void;
  [Symbol.dispose](): void;
}

export function drafterFor({ from, tokens, ngram }: DraftOptions, decoding: Decoding): Drafter {
  if (from === "prompt") return new PromptLookup({ tokens, ngram, device: decoding.cache.device });
  return new AssistantDrafter(from, { tokens, decoding });
}
