import { type Device, tensor } from "@openelm/tensor";
import type { Draft, Drafter } from "./drafter.js";

/**
 * Guesses that the text goes on as it did when its last tokens stood before.
 *
 * @see Saxena, 2023, "Prompt lookup decoding", https://github.com/apoorvumang/prompt-lookup-decoding
 */
export class PromptLookup implements Drafter {
  readonly tokens: number;
  readonly #ngram: number;
  readonly #device: Device;

  constructor(options: {
    readonly tokens?: number | undefined;
    readonly ngram?: number | undefined;
    readonly device: Device;
  }) {
    this.tokens = options.tokens ?? 10;
    this.#ngram = options.ngram ?? 3;
    this.#device = options.device;
  }

  draft(ids: readonly number[]): Draft | undefined {
    const found = continuation(ids, { most: this.tokens, ngram: this.#ngram });
    if (found.length === 0) return undefined;
    return { ids: tensor(Int32Array.from(found), { device: this.#device }) };
  }

  checked(): void {}

  [Symbol.dispose](): void {}
}

/**
 * What followed the last tokens at their latest earlier place; the longest run of tokens that has one counts. Where the
 * text ends before there are enough, it is taken to go on in the same way, so there are `most` guesses or none:
 * 5 6 7 8 5 6 goes on as 7 8 5 6 7.
 */
export function continuation(
  ids: readonly number[],
  { most, ngram }: { readonly most: number; readonly ngram: number },
): number[] {
  const end = ids.length;
  for (let size = Math.min(ngram, end - 1); size >= 1; size--) {
    for (let start = end - size - 1; start >= 0; start--) {
      let same = 0;
      while (same < size && ids[start + same] === ids[end - size + same]) same++;
      if (same < size) continue;
      const known = ids.slice(start + size, start + size + most);
      return Array.from({ length: most }, (_, i) => known[i % known.length]!);
    }
  }
  return [];
}
