/** Codes of `bits` bits, one a byte, as words: a little-endian stream of bits. */
export function packCodes(codes: Uint8Array, bits: number): Uint32Array {
  const words = new Uint32Array((codes.length * bits) / 32);
  let at = 0;
  for (const code of codes) {
    const [word, shift] = [at >>> 5, at & 31];
    words[word]! |= code << shift;
    // The rest of a code that a word has no room for begins the next one.
    if (shift + bits > 32) words[word + 1]! |= code >>> (32 - shift);
    at += bits;
  }
  return words;
}
