import type { Tokenizer } from "@openelm/models";

/** A tokenizer of one's own: each character of a text is a token; 0 begins a text, 1 ends it. */
export class Characters implements Tokenizer {
  readonly #characters: readonly string[];

  constructor(text: string) {
    this.#characters = ["", "", ...new Set(text)];
  }

  get vocabSize(): number {
    return this.#characters.length;
  }

  ids(text: string): Int32Array {
    return Int32Array.from(text, (c) => {
      const id = this.#characters.indexOf(c, 2);
      if (id < 0)
        throw new RangeError(`the text that the tokenizer was made for has no ${JSON.stringify(c)}`);
      return id;
    });
  }

  async encode(text: string): Promise<Int32Array> {
    return this.ids(text);
  }

  async decode(ids: Int32Array | readonly number[]): Promise<string> {
    return Array.from(ids, (id) => this.#characters[id]).join("");
  }

  stream(): ReturnType<Tokenizer["stream"]> {
    return { push: (id) => this.#characters[id] ?? "", end: () => "" };
  }
}
