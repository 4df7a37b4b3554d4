import { floats, type Sample } from "../sample.js";

export const samples: readonly Sample<"dropout">[] = [
  { inputs: { x: floats([5, 7]) }, attrs: { p: 0.3, seed: 3, counter: 5 } },
  { inputs: { x: floats([9]) }, attrs: { p: 0, seed: 3, counter: 0 } },
  { inputs: { x: floats([2, 3]) }, attrs: { p: 1, seed: 3, counter: 0 } },
];
