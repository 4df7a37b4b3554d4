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

const NUMBER = new Float32Array(1);
const BITS = new Uint32Array(NUMBER.buffer);

/** The bits of the f16 next to an f32; of two that are as near the even one. */
export function toHalf(value: number): number {
  NUMBER[0] = value;
  const word = BITS[0]!;
  const sign = (word >>> 16) & 0x8000;
  const size = Math.abs(NUMBER[0]);
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
  for (let i = 0; i < count; i++) decode(data, i * bytes, out, i * numbers);
  return out;
}

const half = (data: Uint8Array, at: number): number => fromHalf(data[at]! | (data[at + 1]! << 8));

/** Each reads the block at `at` and writes its numbers from `to` on. Views of each block would cost more than the work. */
const DECODE: Record<BlockName, (data: Uint8Array, at: number, out: Float32Array, to: number) => void> = {
  Q8_0(data, at, out, to) {
    const scale = half(data, at);
    for (let i = 0; i < 32; i++) out[to + i] = scale * ((data[at + 2 + i]! << 24) >> 24);
  },
  // Number i in the low half of byte i, number i + 16 in the high half.
  Q4_0(data, at, out, to) {
    const scale = half(data, at);
    for (let i = 0; i < 16; i++) {
      const codes = data[at + 2 + i]!;
      out[to + i] = scale * ((codes & 15) - 8);
      out[to + 16 + i] = scale * ((codes >> 4) - 8);
    }
  },
  // Eight groups of 32, each with a scale and a minimum of 6 bits, which two f16 scale in turn.
  Q4_K(data, at, out, to) {
    const [scale, minimum] = [half(data, at), half(data, at + 2)];
    for (let group = 0; group < 8; group++) {
      const [s, m] = sixBits(data, at + 4, group);
      const [step, least] = [scale * s, Math.fround(minimum * m)];
      const [shift, codes] = [group % 2 === 0 ? 0 : 4, at + 16 + 32 * (group >> 1)];
      for (let i = 0; i < 32; i++)
        out[to + group * 32 + i] = step * ((data[codes + i]! >> shift) & 15) - least;
    }
  },
};

/** Scale and minimum of a group: the last four keep their upper two bits beside those of the first four. */
function sixBits(data: Uint8Array, from: number, group: number): readonly [scale: number, minimum: number] {
  const at = (i: number): number => data[from + i]!;
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
  for (let i = 0; i < count; i++) encode(values, i * numbers, out, i * bytes);
  return out;
}

const f32 = Math.fround;

function putHalf(out: Uint8Array, at: number, value: number): void {
  const bits = toHalf(value);
  out[at] = bits & 255;
  out[at + 1] = bits >> 8;
}

const ENCODE: Record<
  WrittenBlocks,
  (values: Float32Array, from: number, out: Uint8Array, at: number) => void
> = {
  // The largest size becomes ±127; ties go away from zero.
  Q8_0(values, from, out, at) {
    let most = 0;
    for (let i = 0; i < 32; i++) most = Math.max(most, Math.abs(values[from + i]!));
    const scale = f32(most / 127);
    const inverse = scale === 0 ? 0 : f32(1 / scale);
    putHalf(out, at, scale);
    for (let i = 0; i < 32; i++) {
      const scaled = f32(values[from + i]! * inverse);
      out[at + 2 + i] = scaled < 0 ? -Math.floor(0.5 - scaled) : Math.floor(scaled + 0.5);
    }
  },
  // The number of largest size becomes −8, whatever its sign.
  Q4_0(values, from, out, at) {
    let edge = 0;
    for (let i = 0; i < 32; i++) {
      const value = values[from + i]!;
      if (Math.abs(value) > Math.abs(edge)) edge = value;
    }
    const scale = f32(edge / -8);
    const inverse = scale === 0 ? 0 : f32(1 / scale);
    putHalf(out, at, scale);
    for (let i = 0; i < 16; i++) {
      const low = Math.min(15, Math.trunc(values[from + i]! * inverse + 8.5));
      const high = Math.min(15, Math.trunc(values[from + 16 + i]! * inverse + 8.5));
      out[at + 2 + i] = low | (high << 4);
    }
  },
};
