//! Quantized blocks of GGUF files, which affine groups hold exactly.
import { FormatError } from "@openelm/native";

/** Block formats that become affine groups without a change of any weight. */
export type BlockFormat = "Q8_0" | "Q4_0";

/** Numbers of a block. */
export const BLOCK = 32;

/** How the blocks of a format lie, and which code stands for zero. */
const FORMATS = {
  // An f16 scale and 32 signed bytes; a signed byte plus 128 is the byte with its first bit turned.
  Q8_0: {
    bits: 8,
    bytes: 34,
    zero: 128,
    repack: (q, to) => {
      for (let i = 0; i < BLOCK; i++) to[i] = q[i]! ^ 0x80;
    },
  },
  // An f16 scale and 16 bytes: number i in the low half of byte i, number i + 16 in the high half. Ours are neighbours.
  Q4_0: {
    bits: 4,
    bytes: 18,
    zero: 8,
    repack: (q, to) => {
      for (let i = 0; i < 8; i++) {
        const [even, odd] = [q[2 * i]!, q[2 * i + 1]!];
        to[i] = (even & 15) | ((odd & 15) << 4);
        to[i + 8] = (even >> 4) | (odd & 0xf0);
      }
    },
  },
} as const satisfies Record<
  BlockFormat,
  { bits: number; bytes: number; zero: number; repack(q: Uint8Array, to: Uint8Array): void }
>;

/** Codes, scales and biases of some blocks, flat. */
export interface Unpacked {
  readonly bits: number;
  readonly codes: Uint32Array;
  readonly scales: Float32Array;
  readonly biases: Float32Array;
}

/** @throws FormatError if there are not `count` blocks, or a bias is beyond f16. */
export function unpackBlocks(data: Uint8Array, format: BlockFormat, count: number): Unpacked {
  const { bits, bytes, zero, repack } = FORMATS[format];
  if (data.length !== count * bytes) {
    throw new FormatError(`${count} ${format} blocks have ${count * bytes} bytes, got ${data.length}`);
  }
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const packed = new Uint8Array(count * bits * (BLOCK / 8));
  const [scales, biases] = [new Float32Array(count), new Float32Array(count)];
  for (let i = 0; i < count; i++) {
    const at = i * bytes;
    const scale = halfToNumber(view.getUint16(at, true));
    repack(data.subarray(at + 2, at + bytes), packed.subarray(i * bits * 4, (i + 1) * bits * 4));
    scales[i] = scale;
    biases[i] = -zero * scale;
    if (Math.abs(biases[i]!) > 65504) {
      throw new FormatError(`block ${i} has the scale ${scale}, whose ${zero}-fold is beyond f16`);
    }
  }
  // Words are little-endian, as are all machines that the core runs on.
  return { bits, codes: new Uint32Array(packed.buffer), scales, biases };
}

/** The number that the bits of an f16 stand for. */
function halfToNumber(bits: number): number {
  const [exponent, fraction] = [(bits >> 10) & 31, bits & 1023];
  const sign = bits >> 15 === 0 ? 1 : -1;
  if (exponent === 31) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return sign * (exponent === 0 ? fraction * 2 ** -24 : (1024 + fraction) * 2 ** (exponent - 25));
}
