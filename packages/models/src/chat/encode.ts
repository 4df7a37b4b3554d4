import type { Tokenizer } from "../generate/contracts.js";
import type { ChatTemplate, Message } from "./template.js";

/** What conversations need of a tokenizer beside what generation needs. */
export interface ChatTokenizer extends Tokenizer {
  /** With `parseSpecial`, special tokens that are written in the text become their ids. */
  encode(text: string, options?: { readonly parseSpecial?: boolean }): Promise<Int32Array>;
  readonly specialTokens: ReadonlyMap<string, number>;
  readonly bosId?: number | undefined;
  readonly eosId?: number | undefined;
}

/** Private characters around the number of a special token whose text a message holds. */
const MARKED = /\uE000(\d+)\uE001/;

/**
 * The tokens of a conversation, begin-of-text included.
 *
 * Special tokens of the template become their ids; such as are written in a message stay text, so that a message cannot
 * forge the end of a turn.
 */
export async function encodeConversation(
  tokenizer: ChatTokenizer,
  template: ChatTemplate,
  messages: readonly Message[],
): Promise<number[]> {
  const specials = [...tokenizer.specialTokens.keys()].filter((text) => text !== "");
  // The longest first, as one may be the beginning of another.
  const order = [...specials.keys()].sort((a, b) => specials[b]!.length - specials[a]!.length);
  const mark = (content: string): string =>
    order.reduce((text, i) => text.replaceAll(specials[i]!, `\uE000${i}\uE001`), content);
  const text = template.render(messages.map(({ role, content }) => ({ role, content: mark(content) })));
  const ids: number[] = [];
  for (const [i, piece] of text.split(MARKED).entries()) {
    const isMark = i % 2 === 1;
    const written = isMark ? (specials[Number(piece)] ?? piece) : piece;
    if (written !== "") ids.push(...(await tokenizer.encode(written, { parseSpecial: !isMark })));
  }
  const { bosId } = tokenizer;
  return bosId === undefined || ids[0] === bosId ? ids : [bosId, ...ids];
}
