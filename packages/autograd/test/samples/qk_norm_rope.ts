import { floats, ints, type Sample } from "../sample.js";

const HEADS = { queryHeads: 3, kvHeads: 1, eps: 1e-6, base: 10_000 };

export const samples: readonly Sample<"qk_norm_rope">[] = [
  {
    inputs: {
      qkv: floats([2, 4, 40]),
      qWeight: floats([8]),
      kWeight: floats([8]),
      offset: ints([2], 0, 50),
    },
    attrs: HEADS,
  },
  { inputs: { qkv: floats([1, 3, 40]), qWeight: null, kWeight: null, offset: null }, attrs: HEADS },
  {
    inputs: { qkv: floats([1, 2, 40]), qWeight: floats([8]), kWeight: null, offset: null },
    attrs: HEADS,
    outputs: ["q"],
  },
  {
    inputs: { qkv: floats([1, 2, 40]), qWeight: null, kWeight: floats([8]), offset: null },
    attrs: HEADS,
    outputs: ["k", "v"],
  },
  {
    inputs: {
      qkv: floats([2, 1, 48]),
      qWeight: floats([6]),
      kWeight: floats([6]),
      offset: ints([2], 0, 50),
    },
    attrs: { queryHeads: 4, kvHeads: 2, eps: 1e-6, base: 10_000 },
  },
];
