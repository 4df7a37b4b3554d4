import { floats, type Sample } from "../sample.js";

export const samples: readonly Sample<"matmul">[] = (
  [
    [
      [3, 4],
      [4, 2],
    ],
    [
      [1, 4],
      [4, 1],
    ],
    [
      [2, 3, 4],
      [4, 5],
    ],
    [
      [3, 4],
      [2, 4, 2],
    ],
    [
      [2, 1, 3, 4],
      [3, 4, 2],
    ],
    [
      [0, 4],
      [4, 3],
    ],
    [
      [3, 0],
      [0, 2],
    ],
    [
      [2, 0, 4],
      [4, 3],
    ],
  ] as const
).map(([a, b]) => ({ inputs: { a: floats(a), b: floats(b) }, attrs: { outDtype: undefined } }));
