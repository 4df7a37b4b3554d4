// Random texts on which tokenizers differ: scripts mixed, emoji of several characters, controls, spaces, long runs.
import { Random } from "../fuzz/random.mjs";

/** Ranges of characters, first and last. @type {readonly (readonly [number, number])[]} */
const RANGES = [
  [0x20, 0x7e],
  [0x61, 0x7a],
  [0xa0, 0x17f],
  [0x370, 0x3ff],
  [0x400, 0x4ff],
  [0x590, 0x6ff],
  [0x900, 0x97f],
  [0xe00, 0xe7f],
  [0xf00, 0xfff],
  [0x1100, 0x11ff],
  [0x1e00, 0x1fff],
  [0x2000, 0x206f],
  [0x2190, 0x23ff],
  [0x3000, 0x30ff],
  [0x4e00, 0x9fff],
  [0xac00, 0xd7a3],
  [0xe000, 0xe0ff],
  [0xfe00, 0xffff],
  [0x1f300, 0x1faff],
  [0x20000, 0x2a6df],
  [0xe0000, 0xe01ef],
  [0, 0x10ffff],
];

const PIECES = [
  " ",
  "  ",
  "     ",
  "\n",
  "\t",
  "\r\n",
  "\u0000",
  "\u0007",
  "\u00a0",
  "\u200b",
  "\u200d",
  "\u2581",
  "\u2581\u2581",
  "\u3000",
  "\ufeff",
  "\ufffd",
  "\u{1f468}\u200d\u{1f469}\u200d\u{1f467}",
  "\u{1f1e9}\u{1f1ea}",
  "\u2764\ufe0f",
  "\u{1f44d}\u{1f3fd}",
  "e\u0301",
  "\u1112\u1161\u11ab",
  "<0x41>",
  "<s>",
  "</s>",
  "<unk>",
  "the",
  "ing",
  " the",
  "123",
  "3.14",
  "http://",
  "()",
  "'s",
];

/** A character that is no half of a pair. @param {Random} random @param {readonly [number, number]} range */
function character(random, [first, last]) {
  const code = first + random.below(last - first + 1);
  return code >= 0xd800 && code <= 0xdfff ? "\ufffd" : String.fromCodePoint(code);
}

/** @param {number} seed @param {number} number */
function text(seed, number) {
  const random = new Random("strings", seed, number);
  const kinds = Array.from({ length: 1 + random.below(3) }, () => random.pick(RANGES));
  let out = "";
  for (let left = random.below(random.pick([4, 12, 40])); left > 0; left--) {
    if (random.once(3)) out += random.pick(PIECES);
    else if (random.once(40)) out += character(random, random.pick(kinds)).repeat(random.below(400));
    else out += character(random, random.pick(kinds));
  }
  return out;
}

/** Texts of a seed, the same in every run. @param {number} count @param {number} [seed] */
export const randomTexts = (count, seed = 1) => Array.from({ length: count }, (_, i) => text(seed, i));

/**
 * Ids of a seed, of which one in three is a byte's.
 *
 * @param {number} count @param {number} vocabSize @param {readonly [number, number]} bytes - The first and the last id of a byte.
 */
export const randomIds = (count, vocabSize, [first, last]) =>
  Array.from({ length: count }, (_, i) => {
    const random = new Random("ids", i);
    return Array.from({ length: random.below(24) }, () =>
      random.once(3) ? first + random.below(last - first + 1) : random.below(vocabSize),
    );
  });
