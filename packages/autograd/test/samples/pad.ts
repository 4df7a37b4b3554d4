import { floats, type Sample } from "../sample.js";

export const samples: readonly Sample<"pad">[] = [
  { inputs: { x: floats([2, 3]) }, attrs: { pads: [1, 0, 2, 3], value: 0 } },
  { inputs: { x: floats([4]) }, attrs: { pads: [0, 2], value: 1.5 } },
  { inputs: { x: floats([0, 2]) }, attrs: { pads: [2, 1, 0, 0], value: 1 } },
];
