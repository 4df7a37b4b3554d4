import { floats, type Sample } from "../sample.js";

export const samples: readonly Sample<"rms_norm">[] = (
  [
    [1, 1],
    [3, 8],
    [2, 5, 33],
    [0, 4],
  ] as const
).map((shape) => ({
  inputs: { x: floats(shape), weight: floats([shape.at(-1)!]) },
  attrs: { eps: 1e-6 },
}));
