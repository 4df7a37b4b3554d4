import { floats, type Sample } from "../sample.js";

export const samples: readonly Sample<"layer_norm">[] = [
  ...(
    [
      [3, 8],
      [2, 5, 33],
      [0, 4],
    ] as const
  ).map((shape) => ({
    inputs: { x: floats(shape), weight: floats([shape.at(-1)!]), bias: floats([shape.at(-1)!]) },
    attrs: { eps: 1e-5 },
  })),
  { inputs: { x: floats([3, 7]), weight: null, bias: null }, attrs: { eps: 1e-5 } },
  { inputs: { x: floats([3, 7]), weight: floats([7]), bias: null }, attrs: { eps: 0.1 } },
  { inputs: { x: floats([3, 7]), weight: null, bias: floats([7]) }, attrs: { eps: 1e-5 } },
];
