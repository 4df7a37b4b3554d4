import { floats, type Sample } from "../sample.js";

export const samples: readonly Sample<"gelu">[] = (["none", "tanh"] as const).flatMap((approximate) =>
  [[5], [2, 3], [0, 4]].map((shape) => ({ inputs: { x: floats(shape) }, attrs: { approximate } })),
);
