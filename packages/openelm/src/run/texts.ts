//! Text of the user's own as token numbers, for what reads it without training.
import type { Tokenizer } from "@openelm/data";
import { readText } from "./read-text.js";

/** Options of {@link scoredTexts}. */
export interface TextOptions {
  /** Whether every line that is not empty is a text of its own. Default: the file is one text. */
  readonly lines?: boolean | undefined;
  /** Leaves out what goes beyond so many tokens. Default: all are taken. */
  readonly maxTokens?: number | undefined;
}

/** Texts, each after the token that begins a text where the tokenizer has one, and their UTF-8 bytes without it. */
export async function scoredTexts(
  file: string,
  tokenizer: Tokenizer,
  { lines, maxTokens = Number.POSITIVE_INFINITY }: TextOptions = {},
): Promise<{ readonly ids: readonly Int32Array[]; readonly bytes: number }> {
  const texts = await textsIn(file, lines);
  const taken: Int32Array[] = [];
  let [room, bytes] = [maxTokens, 0];
  for (const [i, ids] of (await encoded(tokenizer, texts)).entries()) {
    if (room <= 0) break;
    const part = ids.subarray(0, room);
    taken.push(part);
    room -= part.length;
    bytes += Buffer.byteLength(part.length === ids.length ? texts[i]! : await tokenizer.decode(part));
  }
  return { ids: taken, bytes };
}

/** The beginning of a text file as `count` pieces of `length` tokens, fewer where the file ends before. */
export async function piecesOf(
  file: string,
  tokenizer: Tokenizer,
  {
    lines,
    length,
    count,
  }: { readonly lines?: boolean | undefined; readonly length: number; readonly count: number },
): Promise<Int32Array[]> {
  const texts = await encoded(tokenizer, await textsIn(file, lines));
  const all = new Int32Array(texts.reduce((sum, ids) => sum + ids.length, 0));
  let at = 0;
  for (const ids of texts) {
    all.set(ids, at);
    at += ids.length;
  }
  const whole = Math.min(count, Math.floor(all.length / length));
  // A text that is shorter than a piece is one by itself.
  if (whole === 0) return [all];
  return Array.from({ length: whole }, (_, i) => all.subarray(i * length, (i + 1) * length));
}

async function textsIn(file: string, lines = false): Promise<readonly string[]> {
  const text = await readText(file);
  return lines ? text.split("\n").filter((line) => line !== "") : [text];
}

const encoded = (tokenizer: Tokenizer, texts: readonly string[]): Promise<Int32Array[]> =>
  tokenizer.encodeBatch(texts, { addBos: tokenizer.bosId !== undefined });
