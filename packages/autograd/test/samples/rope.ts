import { floats, ints, type Sample } from "../sample.js";

export const samples: readonly Sample<"rope">[] = [
  { inputs: { x: floats([2, 3, 5, 8]), offset: null }, attrs: { base: 10_000, inverse: false } },
  { inputs: { x: floats([2, 1, 3, 6]), offset: ints([2], 0, 900) }, attrs: { base: 500, inverse: false } },
  { inputs: { x: floats([1, 2, 3, 4]), offset: ints([1], 0, 9) }, attrs: { base: 10_000, inverse: true } },
  { inputs: { x: floats([0, 2, 3, 4]), offset: null }, attrs: { base: 10_000, inverse: false } },
];
