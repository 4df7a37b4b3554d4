import { type Fill, floats, ints, type Sample } from "../sample.js";

/** Words of random codes; all but the highest bit. */
const words = (shape: readonly number[]): Fill => ints(shape, 0, 2 ** 31 - 1, "u32");

const scales =
  (shape: readonly number[]): Fill =>
  (seed) =>
    floats(shape, { low: -0.2, high: 0.2 })(seed).to("f32");

export const samples: readonly Sample<"quantized_matmul">[] = (
  [
    { lead: [3], rows: 5, dim: 32, bits: 4, group: 32, transpose: true },
    { lead: [2, 2], rows: 3, dim: 64, bits: 8, group: 32, transpose: true },
    { lead: [3], rows: 5, dim: 32, bits: 3, group: 32, transpose: false },
    { lead: [], rows: 4, dim: 64, bits: 4, group: 64, transpose: true },
    { lead: [18], rows: 4, dim: 32, bits: 5, group: 32, transpose: true },
    { lead: [0], rows: 4, dim: 32, bits: 4, group: 32, transpose: true },
  ] as const
).map(({ lead, rows, dim, transpose, ...packing }) => ({
  inputs: {
    x: floats([...lead, transpose ? dim : rows]),
    codes: words([rows, (dim * packing.bits) / 32]),
    scales: scales([rows, dim / packing.group]),
    biases: scales([rows, dim / packing.group]),
  },
  attrs: { ...packing, transpose },
  wrt: ["x"],
}));
