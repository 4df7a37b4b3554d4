//! SentencePiece models: `tokenizer.model` of Llama and its like, a protocol buffer.
import { FormatError } from "@openelm/native";
import { type GgufVocabulary, TOKEN_TYPES } from "./gguf-vocabulary.js";

/** A field of a message: a number, 4 bytes, 8 bytes or a part of the message. */
interface Field {
  readonly number: number;
  readonly value: number | Uint8Array;
  readonly at: number;
}

/**
 * The vocabulary of a SentencePiece model of the BPE kind.
 *
 * @throws FormatError naming file and byte if it is none.
 */
export function parseSentencePiece(bytes: Uint8Array, path: string): GgufVocabulary {
  const bad = (at: number, what: string): FormatError =>
    new FormatError(`${path}: byte ${at}: ${what}`, { path });
  const [tokens, scores, types]: [string[], number[], number[]] = [[], [], []];
  const trainer = { kind: 1, bos: 1, eos: 2, unknown: 0, pad: -1 };
  let addSpacePrefix = true;
  for (const { number, value, at } of fields(bytes, 0, bad)) {
    if (!(value instanceof Uint8Array)) continue;
    if (number === 1) {
      const piece = pieceOf(value, at, bad);
      tokens.push(piece.text);
      scores.push(piece.score);
      types.push(piece.type);
    } else if (number === 2) {
      for (const field of fields(value, at, bad)) readTrainer(field, trainer);
    } else if (number === 3) {
      for (const field of fields(value, at, bad)) if (field.number === 3) addSpacePrefix = field.value !== 0;
    }
  }
  if (tokens.length === 0) throw bad(0, "the file has no pieces, so it is no SentencePiece model");
  if (trainer.kind !== 2)
    throw bad(0, "the model is not of the BPE kind, for which llama.cpp has another architecture");
  const known = (id: number): number | undefined => (id >= 0 && id < tokens.length ? id : undefined);
  return {
    model: "llama",
    tokens,
    scores,
    types,
    bos: known(trainer.bos),
    eos: known(trainer.eos),
    unknown: known(trainer.unknown),
    pad: known(trainer.pad),
    addSpacePrefix,
    addBos: true,
  };
}

function pieceOf(
  message: Uint8Array,
  at: number,
  bad: (at: number, what: string) => FormatError,
): { text: string; score: number; type: number } {
  const piece = { text: "", score: 0, type: TOKEN_TYPES.normal as number };
  for (const { number, value } of fields(message, at, bad)) {
    if (number === 1 && value instanceof Uint8Array) piece.text = Buffer.from(value).toString("utf8");
    else if (number === 2 && value instanceof Uint8Array && value.length === 4) {
      piece.score = Buffer.from(value).readFloatLE();
    } else if (number === 3 && typeof value === "number") piece.type = value;
  }
  return piece;
}

function readTrainer(
  { number, value }: Field,
  trainer: { kind: number; bos: number; eos: number; unknown: number; pad: number },
): void {
  if (typeof value !== "number") return;
  if (number === 3) trainer.kind = value;
  else if (number === 40) trainer.unknown = value;
  else if (number === 41) trainer.bos = value;
  else if (number === 42) trainer.eos = value;
  else if (number === 43) trainer.pad = value;
}

/** The fields of a message, one after another. */
function* fields(
  message: Uint8Array,
  base: number,
  bad: (at: number, what: string) => FormatError,
): Iterable<Field> {
  let at = 0;
  const varint = (): number => {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = message[at++];
      if (byte === undefined) throw bad(base + at - 1, "a number is cut off");
      value |= BigInt(byte & 127) << shift;
      if (byte < 128) return Number(BigInt.asIntN(64, value));
    }
    throw bad(base + at, "a number has more than 10 bytes");
  };
  const take = (length: number): Uint8Array => {
    if (!(length >= 0 && length <= message.length - at)) throw bad(base + at, "a field is cut off");
    at += length;
    return message.subarray(at - length, at);
  };
  while (at < message.length) {
    const key = varint();
    const [number, kind, start] = [key >>> 3, key & 7, base + at];
    if (kind === 0) yield { number, value: varint(), at: start };
    else if (kind === 1) yield { number, value: take(8), at: start };
    else if (kind === 5) yield { number, value: take(4), at: start };
    else if (kind === 2) {
      const length = varint();
      const begin = base + at;
      yield { number, value: take(length), at: begin };
    } else throw bad(start, `a field has the kind ${kind}`);
  }
}

/** A SentencePiece model with the pieces of a vocabulary, which gives the same ids. */
export function sentencePieceOf(vocabulary: GgufVocabulary): Uint8Array {
  const { tokens, scores = [], types } = vocabulary;
  const parts: Uint8Array[] = [];
  for (const [i, token] of tokens.entries()) {
    const score = Buffer.alloc(4);
    score.writeFloatLE(scores[i] ?? 0);
    const type = types[i] === TOKEN_TYPES.normal ? [] : [tag(3, 0), varintOf(types[i]!)];
    parts.push(inner(1, inner(1, Buffer.from(token)), tag(2, 5), score, ...type));
  }
  const hasBytes = types.includes(TOKEN_TYPES.byte);
  const trainer: [number, number][] = [
    [3, 2],
    [4, tokens.length],
    [35, hasBytes ? 1 : 0],
    [40, vocabulary.unknown ?? 0],
    [41, vocabulary.bos ?? -1],
    [42, vocabulary.eos ?? -1],
    [43, vocabulary.pad ?? -1],
  ];
  const normalizer: [number, number][] = [
    [3, vocabulary.addSpacePrefix === false ? 0 : 1],
    [4, 0],
    [5, 1],
  ];
  const numbers = (entries: [number, number][]): Uint8Array[] =>
    entries.flatMap(([number, value]) => [tag(number, 0), varintOf(value)]);
  parts.push(
    inner(2, ...numbers(trainer)),
    inner(3, inner(1, Buffer.from("identity")), ...numbers(normalizer)),
  );
  return Buffer.concat(parts);
}

const tag = (number: number, kind: number): Uint8Array => varintOf((number << 3) | kind);

function inner(number: number, ...parts: Uint8Array[]): Uint8Array {
  const message = Buffer.concat(parts);
  return Buffer.concat([tag(number, 2), varintOf(message.length), message]);
}

function varintOf(value: number): Uint8Array {
  let rest = BigInt.asUintN(64, BigInt(value));
  const bytes: number[] = [];
  do {
    bytes.push(Number(rest & 127n) | (rest > 127n ? 128 : 0));
    rest >>= 7n;
  } while (rest > 0n);
  return Uint8Array.from(bytes);
}
