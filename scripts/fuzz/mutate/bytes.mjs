// Changes that know of bytes alone, and of what looks like a length among them.

/** @typedef {import("../random.mjs").Random} Random */

/** Numbers at which counts and lengths go wrong. */
export const EDGES = [
  0n,
  1n,
  2n,
  7n,
  8n,
  127n,
  128n,
  255n,
  256n,
  32767n,
  32768n,
  65535n,
  65536n,
  2n ** 24n,
  2n ** 31n - 1n,
  2n ** 31n,
  2n ** 32n - 1n,
  2n ** 32n,
  2n ** 40n,
  2n ** 53n - 1n,
  2n ** 53n,
  2n ** 62n,
  2n ** 63n - 1n,
  2n ** 63n,
  2n ** 64n - 8n,
  2n ** 64n - 1n,
];

/** Bytes in which lengths are looked for: those of headers. */
const HEADER = 1 << 13;
const TAIL = 256;

/** Places that are looked at before it is taken that there is no length. */
const TRIES = 24;

/**
 * Where a number stands that may be a count or an offset: not larger than the file.
 *
 * @param {Random} random @param {Uint8Array} bytes
 */
function lengthIn(random, bytes) {
  for (let left = TRIES; left > 0; left--) {
    const width = random.pick([2, 4, 8]);
    // Headers stand at the begin, lists of what is in a file at its end.
    const part = Math.min(bytes.length, random.once(8) ? TAIL : HEADER);
    const at = part === TAIL ? bytes.length - 1 - random.below(part) : random.below(part);
    const value = sizeAt(bytes, at, width);
    if (at + width <= bytes.length && value > 0 && value <= bytes.length) return { at, width };
  }
  return undefined;
}

/** Puts a number's low bytes. @param {Uint8Array} bytes @param {number} at @param {number} width @param {bigint} value @param {boolean} [little] */
export function putNumber(bytes, at, width, value, little = true) {
  for (let i = 0; i < width && at + i < bytes.length; i++) {
    const shift = BigInt(8 * (little ? i : width - 1 - i));
    bytes[at + i] = Number((value >> shift) & 255n);
  }
}

/** @param {Uint8Array} bytes @param {number} at @param {number} width */
export function numberAt(bytes, at, width) {
  let value = 0n;
  for (let i = width - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[at + i] ?? 0);
  return value;
}

/** The same as a number, near enough to tell whether it is a small one. @param {Uint8Array} bytes @param {number} at @param {number} width */
function sizeAt(bytes, at, width) {
  let value = 0;
  for (let i = width - 1; i >= 0; i--) value = value * 256 + (bytes[at + i] ?? 0);
  return value;
}

/** Another length near or far from the one that stands there. @param {Random} random @param {bigint} value */
export function otherNumber(random, value) {
  return random.pick([
    value + 1n,
    value - 1n,
    value * 2n,
    value + 8n,
    random.pick(EDGES),
    BigInt(random.u32()),
  ]);
}

/** @param {Uint8Array[]} parts */
export const joined = (...parts) => new Uint8Array(Buffer.concat(parts));

/** @type {((random: Random, bytes: Uint8Array) => Uint8Array)[]} */
const CHANGES = [
  (random, bytes) => {
    bytes[random.below(bytes.length)] ^= 1 << random.below(8);
    return bytes;
  },
  (random, bytes) => {
    bytes[random.below(bytes.length)] = random.pick([0, 1, 0x7f, 0x80, 0xff, random.below(256)]);
    return bytes;
  },
  (random, bytes) => {
    const width = random.pick([1, 2, 4, 8]);
    const at = random.below(Math.min(bytes.length, random.once(2) ? 64 : bytes.length));
    putNumber(bytes, at, width, random.pick(EDGES), !random.once(8));
    return bytes;
  },
  (random, bytes) => bytes.slice(0, random.below(bytes.length + 1)),
  (random, bytes) => {
    const at = random.below(bytes.length);
    return joined(
      bytes.subarray(0, at),
      bytes.subarray(at + 1 + random.below(random.pick([4, 64, bytes.length]))),
    );
  },
  (random, bytes) => {
    const [from, to] = [random.below(bytes.length), random.below(bytes.length)];
    const piece = bytes.slice(from, from + random.below(random.pick([8, 256, 4096])));
    const copies = random.once(4) ? random.below(64) : 1;
    return joined(
      bytes.subarray(0, to),
      ...Array(copies).fill(piece),
      bytes.subarray(random.once(2) ? to : to + piece.length),
    );
  },
  (random, bytes) =>
    joined(
      bytes,
      Uint8Array.from({ length: random.below(64) }, () => random.below(256)),
    ),
  (random, bytes) =>
    bytes.fill(random.pick([0, 255]), random.below(bytes.length), random.below(bytes.length)),
];

/** Some changes of bytes; the given ones stay. @param {Random} random @param {Uint8Array} original @returns {Uint8Array} */
export function mutateBytes(random, original) {
  /** @type {Uint8Array} */
  let bytes = original.slice();
  for (let left = random.few(6); left > 0 && bytes.length > 0; left--) {
    const length = random.once(2) ? lengthIn(random, bytes) : undefined;
    if (length === undefined) bytes = random.pick(CHANGES)(random, bytes);
    else
      putNumber(
        bytes,
        length.at,
        length.width,
        otherNumber(random, numberAt(bytes, length.at, length.width)),
      );
  }
  return bytes;
}
