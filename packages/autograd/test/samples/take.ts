import { floats, ints, type Sample } from "../sample.js";

export const samples: readonly Sample<"take">[] = [
  { inputs: { x: floats([5]), indices: ints([7], -5, 5) }, attrs: { axis: 0 } },
  { inputs: { x: floats([4, 3]), indices: ints([2, 3], -3, 3) }, attrs: { axis: -1 } },
  { inputs: { x: floats([2, 4, 3]), indices: ints([6], -4, 4) }, attrs: { axis: 1 } },
  { inputs: { x: floats([4, 3]), indices: ints([], 0, 4) }, attrs: { axis: 0 } },
  { inputs: { x: floats([4, 3]), indices: ints([0], 0, 4) }, attrs: { axis: 0 } },
];
