//! Inputs for the gradients of ops that share a file of rules; the others have a file each in samples/.
import type { OpName } from "@openelm/tensor";
import { type Fill, floats, ints, type Sample, values } from "./sample.js";

type Samples = { readonly [K in OpName]?: readonly Sample<K>[] };

/** An op `y[i] = f(x[i])` in every kind of shape. */
const unary = (low: number, high: number, away?: number): readonly { inputs: { x: Fill }; attrs: object }[] =>
  [[], [1], [3, 5], [2, 1, 7], [0, 3]].map((shape) => ({
    inputs: { x: floats(shape, { low, high, away }) },
    attrs: {},
  }));

/** An op `y[i] = f(a[i], b[i])` with every kind of broadcast. */
const binary = (low = -2, high = 2): readonly { inputs: { a: Fill; b: Fill }; attrs: object }[] =>
  [
    [[], []],
    [
      [3, 4],
      [3, 4],
    ],
    [
      [2, 3, 4],
      [3, 1],
    ],
    [
      [4, 1],
      [1, 5],
    ],
    [[], [2, 3]],
    [[1, 1], [3]],
    [[0, 3], [3]],
  ].map(([a, b]) => ({ inputs: { a: floats(a!, { low, high }), b: floats(b!, { low, high }) }, attrs: {} }));

const AXES: readonly { shape: number[]; axis: number | readonly number[] | undefined; keepDims: boolean }[] =
  [
    { shape: [], axis: undefined, keepDims: false },
    { shape: [5], axis: undefined, keepDims: false },
    { shape: [3, 4], axis: 0, keepDims: false },
    { shape: [3, 4], axis: -1, keepDims: true },
    { shape: [2, 3, 4], axis: [0, 2], keepDims: false },
    { shape: [2, 1, 4], axis: [1], keepDims: false },
    { shape: [1, 3], axis: undefined, keepDims: true },
  ];

const reduction = AXES.map(({ shape, ...attrs }) => ({ inputs: { x: floats(shape) }, attrs }));
/** Over nothing a sum has a value. */
const summing = [...reduction, { inputs: { x: floats([0, 3]) }, attrs: { axis: 0, keepDims: false } }];

const along = ([[5], [3, 4], [2, 3, 4], [1, 1], [0, 3]] as const).flatMap((shape) =>
  [0, -1].map((axis) => ({ inputs: { x: floats(shape) }, attrs: { axis } })),
);

const softmaxes = [
  ...along,
  {
    inputs: {
      x: values([
        [0, 700, -700],
        [-1e3, 1e3, 999],
      ]),
    },
    attrs: { axis: -1 },
  },
];

const matrices = [
  [3, 3],
  [2, 4],
  [5, 2],
  [2, 3, 4],
  [1, 1],
].flatMap((shape) => [-1, 0, 2].map((diagonal) => ({ inputs: { x: floats(shape) }, attrs: { diagonal } })));

const scattered = (
  [
    [[5], [3], 0],
    [[4, 3], [2, 3], 0],
    [[4, 3], [4, 6], -1],
    [[2, 3, 4], [2, 5, 4], 1],
    [[3, 2], [0, 2], 0],
  ] as const
).map(([x, updates, axis]) => ({
  inputs: { x: floats(x), indices: ints(updates, -x.at(axis)!, x.at(axis)!), updates: floats(updates) },
  attrs: { axis },
}));

/** Samples of every op of a family. */
export const FAMILIES: Samples = {
  exp: unary(-2, 2),
  exp2: unary(-2, 2),
  expm1: unary(-2, 2),
  log: unary(0.1, 5),
  log2: unary(0.1, 5),
  log1p: unary(-0.8, 4),
  sqrt: unary(0.1, 5),
  rsqrt: unary(0.2, 5),
  reciprocal: unary(0.3, 4),
  sin: unary(-4, 4),
  cos: unary(-4, 4),
  tanh: unary(-3, 3),
  sigmoid: unary(-5, 5),
  silu: unary(-5, 5),
  erf: unary(-2.5, 2.5),
  neg: unary(-2, 2),
  abs: unary(-2, 2, 0.01),
  square: unary(-2, 2),
  relu: unary(-2, 2, 0.01),

  add: binary(),
  sub: binary(),
  mul: binary(),
  div: binary(0.4, 2),
  maximum: binary(),
  minimum: binary(),
  remainder: [
    { inputs: { a: values([7.3, -7.3, 2.2, 0.5]), b: values([2.5, 2.5, -0.7, 1.5]) }, attrs: {} },
    { inputs: { a: values([[5.2], [-3.1]]), b: values([1.7, -2.3, 0.9]) }, attrs: {} },
  ],
  pow: [
    ...binary(0.3, 2.5),
    { inputs: { a: values([-1.5, -2, 3, 0.5]), b: values([2, 3, 0, 1]) }, attrs: {}, wrt: ["a"] },
    { inputs: { a: values([0, 0, 0, 0.7]), b: values([1, 2, 3, 0]) }, attrs: {}, wrt: ["a"] },
    { inputs: { a: values([0, 0, 2]), b: values([1.5, 3, 0]) }, attrs: {}, wrt: ["b"] },
  ],
  where: [
    { inputs: { condition: ints([3, 4], 0, 2, "bool"), a: floats([3, 4]), b: floats([3, 4]) }, attrs: {} },
    { inputs: { condition: ints([3, 1], 0, 2, "bool"), a: floats([4]), b: floats([]) }, attrs: {} },
    {
      inputs: { condition: ints([2, 3, 1], 0, 2, "bool"), a: floats([1, 4]), b: floats([2, 1, 1]) },
      attrs: {},
    },
  ],
  clamp: [
    { inputs: { x: values([-2.5, -0.4, 0.3, 1.2, 3]) }, attrs: { min: -1, max: 1 } },
    {
      inputs: {
        x: values([
          [-2.5, 0.4],
          [0.3, 1.2],
        ]),
      },
      attrs: { min: 0, max: undefined },
    },
    {
      inputs: {
        x: values([
          [-2.5, 0.4],
          [0.3, 1.2],
        ]),
      },
      attrs: { min: undefined, max: 0.35 },
    },
  ],
  cast: [{ inputs: { x: floats([3, 4]) }, attrs: { dtype: "f64" } }],

  sum: summing,
  mean: reduction,
  prod: [
    ...summing,
    {
      inputs: {
        x: values([
          [2, 0, 3],
          [0, 0, 5],
          [1, 2, 3],
        ]),
      },
      attrs: { axis: 1, keepDims: false },
    },
    {
      inputs: {
        x: values([
          [2, 0],
          [1.5, 3],
        ]),
      },
      attrs: { axis: undefined, keepDims: false },
    },
  ],
  max: reduction,
  min: reduction,
  logsumexp: reduction,
  cumsum: [false, true].flatMap((reverse) =>
    along.map(({ inputs, attrs }) => ({ inputs, attrs: { ...attrs, reverse } })),
  ),
  softmax: softmaxes,
  log_softmax: softmaxes,
  sort: [false, true].flatMap((descending) =>
    along.map(({ inputs, attrs }) => ({ inputs, attrs: { ...attrs, descending } })),
  ),
  topk: [true, false].flatMap((largest) => [
    { inputs: { x: floats([7]) }, attrs: { k: 3, axis: -1, largest } },
    { inputs: { x: floats([4, 3]) }, attrs: { k: 2, axis: 0, largest } },
    { inputs: { x: floats([2, 3, 2]) }, attrs: { k: 1, axis: 1, largest } },
  ]),
  tril: matrices,
  triu: matrices,

  reshape: [
    { inputs: { x: floats([2, 6]) }, attrs: { shape: [3, -1] } },
    { inputs: { x: floats([]) }, attrs: { shape: [1, 1] } },
    { inputs: { x: floats([0, 3]) }, attrs: { shape: [3, 0] } },
  ],
  view: [
    { inputs: { x: floats([4, 6]) }, attrs: { shape: [2, 2, 3, 2] }, strided: false },
    { inputs: { x: floats([6]) }, attrs: { shape: [1, 6, 1] } },
  ],
  permute: [
    { inputs: { x: floats([2, 3, 4]) }, attrs: { axes: [1, 2, 0] } },
    { inputs: { x: floats([2, 3, 4]) }, attrs: { axes: [-1, 0, 1] } },
    { inputs: { x: floats([]) }, attrs: { axes: [] } },
  ],
  broadcast_to: [
    { inputs: { x: floats([3, 1]) }, attrs: { shape: [2, 3, 4] } },
    { inputs: { x: floats([1, 3]) }, attrs: { shape: [-1, 3] } },
    { inputs: { x: floats([]) }, attrs: { shape: [2, 2] } },
    { inputs: { x: floats([1, 3]) }, attrs: { shape: [0, 3] } },
  ],
  slice: [
    { inputs: { x: floats([5, 4]) }, attrs: { starts: [1, 0], sizes: [2, 4], steps: [1, 1] } },
    { inputs: { x: floats([7]) }, attrs: { starts: [6], sizes: [3], steps: [-3] } },
    { inputs: { x: floats([7]) }, attrs: { starts: [1], sizes: [3], steps: [2] } },
    { inputs: { x: floats([5, 4]) }, attrs: { starts: [4, 3], sizes: [3, 2], steps: [-2, -1] } },
    { inputs: { x: floats([5, 4]) }, attrs: { starts: [2, 1], sizes: [1, 0], steps: [-1, 3] } },
    { inputs: { x: floats([2, 3, 4]) }, attrs: { starts: [0, 2, 1], sizes: [2, 1, 2], steps: [1, -1, 2] } },
  ],
  contiguous: unary(-2, 2),
  copy: unary(-2, 2),
  take_along_axis: scattered.map(({ inputs: { x, indices }, attrs }) => ({ inputs: { x, indices }, attrs })),
  scatter_add: scattered,
  scatter: scattered,
};
