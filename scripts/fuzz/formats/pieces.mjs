// A SentencePiece model that is smaller than any model's vocabulary.
import { bytesOf } from "../mutate/protobuf.mjs";

/** @typedef {import("../mutate/protobuf.mjs").Field} Field */

/** Fields that are messages: pieces, and what the trainer and the normalizer were told. */
export const NESTED = new Set([1, 2, 3]);

/** @param {number} number @param {number | boolean} value @returns {Field} */
const whole = (number, value) => ({ number, kind: 0, value: BigInt(value) });

/** @param {string} text @param {number} score @param {number} type @returns {Field} */
function piece(text, score, type) {
  const float = Buffer.alloc(4);
  float.writeFloatLE(score);
  return {
    number: 1,
    kind: 2,
    value: [
      { number: 1, kind: 2, value: new Uint8Array(Buffer.from(text)) },
      { number: 2, kind: 5, value: new Uint8Array(float) },
      whole(3, type),
    ],
  };
}

/** Merges of a few letters: 3 tokens with a meaning of their own and 21 pieces. @returns {Uint8Array} */
export function smallPieces() {
  const pieces = [
    "▁",
    "t",
    "h",
    "e",
    "a",
    "n",
    "s",
    "o",
    "r",
    "th",
    "he",
    "the",
    "▁the",
    "an",
    "▁a",
    "on",
    "er",
    "or",
    "st",
    "▁s",
    "é",
  ];
  return bytesOf([
    piece("<unk>", 0, 2),
    piece("<s>", 0, 3),
    piece("</s>", 0, 3),
    ...pieces.map((text, i) => piece(text, -i, 1)),
    {
      number: 2,
      kind: 2,
      value: [whole(3, 2), whole(4, 3 + pieces.length), whole(40, 0), whole(41, 1), whole(42, 2)],
    },
    { number: 3, kind: 2, value: [whole(3, true), whole(4, false), whole(5, true)] },
  ]);
}
