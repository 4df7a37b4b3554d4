//! Blocks of GGUF files: an f16 scale and the numbers of a row that share it.
import { BLOCKS, type BlockName } from "./weight.js";

/** The number that every f16 stands for. */
const HALVES = Float32Array.from({ length: 1 << 16 }, (_, bits) => {
  const [exponent, fraction] = [(bits >> 10) & 31, bits & 1023];
  const sign = bits >> 15 === 0 ? 1 : -1;
  if (exponent === 31) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return sign * (exponent === 0 ? fraction * 2 ** -24 : (1024 + fraction) * 2 ** (exponent - 25));
});

/** The number that the bits of an f16 stand for. */
export const fromHalf = (bits: number): number => HALVES[bits]!;

const BITS = new DataView(new ArrayBuffer(4));

/** The bits of the f16 next to an f32; of two that are as near the even one. */
export function toHalf(value: number): number {
  BITS.setFloat32(0, value);
  const word = BITS.getUint32(0);
  const sign = (word >>> 16) & 0x8000;
  const size = Math.abs(Math.fround(value));
  if (!(size <= Number.MAX_VALUE)) return sign | (Number.isNaN(value) ? 0x7e00 : 0x7c00);
  // Steps between neighbours are 2^(e − 10), and 2^-24 below the smallest normal number.
  const exponent = Math.max(((word >>> 23) & 255) - 127, -14);
  const steps = roundToEven(size * 2 ** (10 - exponent));
  // A carry out of the fraction raises the exponent, as it should; what is beyond the largest is infinite.
  const bits = ((exponent + 14) << 10) + steps;
  return sign | Math.min(bits, 0x7c00);
}

function roundToEven(value: number): number {
  const down = Math.floor(value);
  const rest = value - down;
  return rest > 0.5 || (rest === 0.5 && down % 2 === 1) ? down + 1 : down;
}

/** The numbers of some blocks. */
export function decodeBlocks(format: BlockName, data: Uint8Array): Float32Array {
  const { numbers, bytes } = BLOCKS[format];
  const count = data.length / bytes;
  const out = new Float32Array(count * numbers);
  const decode = DECODE[format];
  for (let i = 0; i < count; i++) {
    decode(data.subarray(i * bytes, (i + 1) * bytes), out.subarray(i * numbers, (i + 1) * numbers));
  }
  return out;
}

const half = (block: Uint8Array, at: number): number => fromHalf(block[at]! | (block[at + 1]! << 8));

const DECODE: Record<BlockName, (block: Uint8Array, out: Float32Array) => void> = {
  Q8_0(block, out) {
    const scale = half(block, 0);
    for (let i = 0; i < 32; i++) out[i] = scale * ((block[i + 2]! << 24) >> 24);
  },
  // Number i in the low half of byte i, number i + 16 in the high half.
  Q4_0(block, out) {
    const scale = half(block, 0);
    for (let i = 0; i < 16; i++) {
      out[i] = scale * ((block[i + 2]! & 15) - 8);
      out[i + 16] = scale * ((block[i + 2]! >> 4) - 8);
    }
  },
  // Eight groups of 32, each with a scale and a minimum of 6 bits, which two f16 scale in turn.
  Q4_K(block, out) {
    const [scale, minimum] = [half(block, 0), half(block, 2)];
    for (let group = 0; group < 8; group++) {
      const [s, m] = sixBits(block, group);
      const [high, codes] = [group % 2 === 1, 16 + 32 * (group >> 1)];
      for (let i = 0; i < 32; i++) {
        const code = high ? block[codes + i]! >> 4 : block[codes + i]! & 15;
        out[group * 32 + i] = scale * s * code - Math.fround(minimum * m);
      }
    }
  },
};

/** Scale and minimum of a group: the last four keep their upper two bits beside those of the first four. */
function sixBits(block: Uint8Array, group: number): readonly [scale: number, minimum: number] {
  const at = (i: number): number => block[4 + i]!;
  if (group < 4) return [at(group) & 63, at(group + 4) & 63];
  return [(at(group + 4) & 15) | ((at(group - 4) >> 6) << 4), (at(group + 4) >> 4) | ((at(group) >> 6) << 4)];
}

/** Formats that are written. */
export type WrittenBlocks = Exclude<BlockName, "Q4_K">;

/** Rounds numbers to blocks, with the same steps in the same precision as ggml's Python package. */
export function encodeBlocks(format: WrittenBlocks, values: Float32Array): Uint8Array {
  const { numbers, bytes } = BLOCKS[format];
  const count = values.length / numbers;
  const out = new Uint8Array(count * bytes);
  const encode = ENCODE[format];
  for (let i = 0; i < count; i++) {
    encode(values.subarray(i * numbers, (i + 1) * numbers), out.subarray(i * bytes, (i + 1) * bytes));
  }
  return out;
}

const f32 = Math.fround;

function putHalf(block: Uint8Array, value: number): void {
  const bits = toHalf(value);
  block[0] = bits & 255;
  block[1] = bits >> 8;
}

const ENCODE: Record<WrittenBlocks, (values: Float32Array, block: Uint8Array) => void> = {
  // The largest size becomes ±127; ties go away from zero.
  Q8_0(values, block) {
    let most = 0;
    for (const value of values) most = Math.max(most, Math.abs(value));
    const scale = f32(most / 127);
    const inverse = scale === 0 ? 0 : f32(1 / scale);
    putHalf(block, scale);
    for (let i = 0; i < 32; i++) {
      const scaled = f32(values[i]! * inverse);
      block[i + 2] = Math.sign(scaled) * Math.floor(Math.abs(scaled) + 0.5);
    }
  },
  // The number of largest size becomes −8, whatever its sign.
  Q4_0(values, block) {
    let edge = 0;
    for (const value of values) if (Math.abs(value) > Math.abs(edge)) edge = value;
    const scale = f32(edge / -8);
    const inverse = scale === 0 ? 0 : f32(1 / scale);
    putHalf(block, scale);
    const code = (value: number): number => Math.min(15, Math.trunc(value * inverse + 8.5));
    for (let i = 0; i < 16; i++) block[i + 2] = code(values[i]!) | (code(values[i + 16]!) << 4);
  },
};
