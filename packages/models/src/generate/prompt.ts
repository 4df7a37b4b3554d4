import { UsageError } from "@openelm/native";
import type { CausalModel, Tokenizer } from "./contracts.js";

/** What to continue: a text, or its tokens. */
export type Prompt = string | ArrayLike<number>;

/** @throws UsageError if nothing can follow. */
export async function promptIds(
  { config }: CausalModel,
  prompt: Prompt,
  { tokenizer, addBos = true }: { readonly tokenizer: Tokenizer; readonly addBos?: boolean | undefined },
): Promise<number[]> {
  const { bosId, vocabSize, maxContextLength } = config;
  const own = Array.from(typeof prompt === "string" ? await tokenizer.encode(prompt) : prompt);
  const ids = addBos ? [bosId, ...own] : own;
  if (ids.length === 0) throw new UsageError("generate: an empty prompt needs addBos");
  const unknown = ids.find((id) => !(Number.isInteger(id) && id >= 0 && id < vocabSize));
  if (unknown !== undefined) {
    throw new UsageError(
      `generate: the prompt has token ${unknown}, but the model knows 0 to ${vocabSize - 1}; is the tokenizer its own?`,
    );
  }
  if (ids.length >= maxContextLength) {
    throw new UsageError(
      `generate: the prompt has ${ids.length} tokens, which leaves no room in the model's context of ` +
        `${maxContextLength}; shorten it`,
    );
  }
  return ids;
}
