import { floats, type Sample } from "../sample.js";

const sample = (shape: readonly number[]): Sample<"add_rms_norm"> => ({
  inputs: { x: floats(shape), branch: floats(shape), weight: floats([shape.at(-1)!]) },
  attrs: { eps: 1e-6 },
});

export const samples: readonly Sample<"add_rms_norm">[] = [
  sample([1, 1]),
  sample([3, 8]),
  sample([2, 5, 33]),
  sample([0, 4]),
  { ...sample([3, 8]), outputs: ["y"] },
  { ...sample([3, 8]), outputs: ["sum"] },
];
