import { type Fill, floats, ints, type Sample } from "../sample.js";

const CAUSAL = { causal: true, scale: undefined };
const q = (shape: readonly number[]): Fill => floats(shape, { low: -1.5, high: 1.5 });

export const samples: readonly Sample<"attention">[] = [
  {
    inputs: { q: q([2, 2, 5, 4]), k: q([2, 2, 5, 4]), v: q([2, 2, 5, 4]), documents: null, kvLength: null },
    attrs: CAUSAL,
  },
  {
    inputs: { q: q([1, 4, 3, 4]), k: q([1, 2, 7, 4]), v: q([1, 2, 7, 4]), documents: null, kvLength: null },
    attrs: CAUSAL,
  },
  {
    inputs: { q: q([1, 4, 3, 5]), k: q([1, 1, 4, 5]), v: q([1, 1, 4, 5]), documents: null, kvLength: null },
    attrs: { causal: false, scale: 0.7 },
  },
  {
    inputs: {
      q: q([2, 2, 6, 4]),
      k: q([2, 1, 6, 4]),
      v: q([2, 1, 6, 4]),
      documents: ints([2, 6], 0, 3),
      kvLength: null,
    },
    attrs: CAUSAL,
  },
  {
    inputs: {
      q: q([3, 2, 2, 4]),
      k: q([3, 2, 6, 4]),
      v: q([3, 2, 6, 4]),
      documents: null,
      kvLength: ints([3], 0, 7),
    },
    attrs: CAUSAL,
  },
  {
    inputs: {
      q: q([2, 2, 3, 4]),
      k: q([2, 2, 6, 4]),
      v: q([2, 2, 6, 4]),
      documents: ints([2, 6], 0, 2),
      kvLength: ints([2], 2, 7),
    },
    attrs: { causal: false, scale: undefined },
  },
  // More queries than keys: the first ones see nothing.
  {
    inputs: { q: q([1, 1, 4, 4]), k: q([1, 1, 2, 4]), v: q([1, 1, 2, 4]), documents: null, kvLength: null },
    attrs: CAUSAL,
  },
  {
    inputs: { q: q([1, 1, 2, 4]), k: q([1, 1, 0, 4]), v: q([1, 1, 0, 4]), documents: null, kvLength: null },
    attrs: CAUSAL,
  },
];
