import { floats, type Sample } from "../sample.js";

export const samples: readonly Sample<"swiglu">[] = [[4], [3, 6], [2, 3, 10], [0, 4]].map((shape) => ({
  inputs: { x: floats(shape) },
  attrs: {},
}));
