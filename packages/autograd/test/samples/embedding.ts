import { floats, ints, type Sample } from "../sample.js";

export const samples: readonly Sample<"embedding">[] = [
  { inputs: { weight: floats([5, 3]), ids: ints([7], 0, 5) }, attrs: { paddingIndex: undefined } },
  { inputs: { weight: floats([4, 2]), ids: ints([2, 3], 0, 4) }, attrs: { paddingIndex: undefined } },
  { inputs: { weight: floats([4, 2]), ids: ints([0, 3], 0, 4) }, attrs: { paddingIndex: undefined } },
];
