// Whole numbers of seven bits a byte, the lowest first, as protocol buffers and Thrift have them.

/** The number that stands at a place, and where the next thing begins. @param {Uint8Array} bytes @param {number} from */
export function varintAt(bytes, from) {
  let [value, end] = [0n, from];
  for (let shift = 0n; ; shift += 7n) {
    const byte = bytes[end++];
    value |= BigInt(byte & 127) << shift;
    if (byte < 128) return { value, end };
  }
}

/** @param {bigint} value */
export function varintOf(value) {
  const bytes = [];
  let rest = BigInt.asUintN(64, value);
  do {
    bytes.push(Number(rest & 127n) | (rest > 127n ? 128 : 0));
    rest >>= 7n;
  } while (rest > 0n);
  return Uint8Array.from(bytes);
}
