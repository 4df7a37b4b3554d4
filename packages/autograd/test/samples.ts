//! Inputs for the gradient of every op.
import type { OpName, OpTable } from "@openelm/tensor";
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

const LOSS = { ignoreIndex: -100, zLoss: 0, zLossMode: "valid", labelSmoothing: 0 } as const;
const LOSSES = [
  LOSS,
  { ...LOSS, zLoss: 1e-2 },
  { ...LOSS, ignoreIndex: 2, zLoss: 1e-2, labelSmoothing: 0.1 },
  { ...LOSS, ignoreIndex: 1, zLoss: 1e-2, zLossMode: "corenet" },
] as const;

const HEADS = { queryHeads: 3, kvHeads: 1, eps: 1e-6, base: 10_000 };
const CAUSAL = { causal: true, scale: undefined };

const q = (shape: readonly number[]): Fill => floats(shape, { low: -1.5, high: 1.5 });

/** Gradients of an op in every way that its inputs and attributes allow. */
export const SAMPLES: Samples = {
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
  gelu: (["none", "tanh"] as const).flatMap((approximate) =>
    unary(-4, 4).map(({ inputs }) => ({ inputs, attrs: { approximate } })),
  ),
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
  concat: [
    { inputs: { tensors: [floats([2, 3]), floats([4, 3])] }, attrs: { axis: 0 } },
    { inputs: { tensors: [floats([2, 3]), floats([2, 1]), floats([2, 0])] }, attrs: { axis: -1 } },
    { inputs: { tensors: [floats([3])] }, attrs: { axis: 0 } },
  ],
  pad: [
    { inputs: { x: floats([2, 3]) }, attrs: { pads: [1, 0, 2, 3], value: 0 } },
    { inputs: { x: floats([4]) }, attrs: { pads: [0, 2], value: 1.5 } },
    { inputs: { x: floats([0, 2]) }, attrs: { pads: [2, 1, 0, 0], value: 1 } },
  ],
  take: [
    { inputs: { x: floats([5]), indices: ints([7], -5, 5) }, attrs: { axis: 0 } },
    { inputs: { x: floats([4, 3]), indices: ints([2, 3], -3, 3) }, attrs: { axis: -1 } },
    { inputs: { x: floats([2, 4, 3]), indices: ints([6], -4, 4) }, attrs: { axis: 1 } },
    { inputs: { x: floats([4, 3]), indices: ints([], 0, 4) }, attrs: { axis: 0 } },
    { inputs: { x: floats([4, 3]), indices: ints([0], 0, 4) }, attrs: { axis: 0 } },
  ],
  take_along_axis: scattered.map(({ inputs: { x, indices }, attrs }) => ({ inputs: { x, indices }, attrs })),
  scatter_add: scattered,
  scatter: scattered,
  embedding: [
    { inputs: { weight: floats([5, 3]), ids: ints([7], 0, 5) }, attrs: { paddingIndex: undefined } },
    { inputs: { weight: floats([4, 2]), ids: ints([2, 3], 0, 4) }, attrs: { paddingIndex: undefined } },
    { inputs: { weight: floats([4, 2]), ids: ints([0, 3], 0, 4) }, attrs: { paddingIndex: undefined } },
  ],
  dropout: [
    { inputs: { x: floats([5, 7]) }, attrs: { p: 0.3, seed: 3, counter: 5 } },
    { inputs: { x: floats([9]) }, attrs: { p: 0, seed: 3, counter: 0 } },
    { inputs: { x: floats([2, 3]) }, attrs: { p: 1, seed: 3, counter: 0 } },
  ],

  matmul: (
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
  ).map(([a, b]) => ({ inputs: { a: floats(a), b: floats(b) }, attrs: { outDtype: undefined } })),

  rms_norm: (
    [
      [1, 1],
      [3, 8],
      [2, 5, 33],
      [0, 4],
    ] as const
  ).map((shape) => ({
    inputs: { x: floats(shape), weight: floats([shape.at(-1)!]) },
    attrs: { eps: 1e-6 },
  })),
  layer_norm: [
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
  ],
  rope: [
    { inputs: { x: floats([2, 3, 5, 8]), offset: null }, attrs: { base: 10_000, inverse: false } },
    { inputs: { x: floats([2, 1, 3, 6]), offset: ints([2], 0, 900) }, attrs: { base: 500, inverse: false } },
    { inputs: { x: floats([1, 2, 3, 4]), offset: ints([1], 0, 9) }, attrs: { base: 10_000, inverse: true } },
    { inputs: { x: floats([0, 2, 3, 4]), offset: null }, attrs: { base: 10_000, inverse: false } },
  ],
  qk_norm_rope: [
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
  ],
  swiglu: [[4], [3, 6], [2, 3, 10], [0, 4]].map((shape) => ({ inputs: { x: floats(shape) }, attrs: {} })),
  attention: [
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
  ],
  cross_entropy: LOSSES.flatMap((attrs) => [
    { inputs: { logits: floats([6, 5]), targets: ints([6], 0, 5) }, attrs },
    { inputs: { logits: floats([2, 3, 7]), targets: ints([2, 3], 0, 7) }, attrs, outputs: ["loss"] as const },
    { inputs: { logits: floats([4, 3]), targets: ints([4], 0, 3) }, attrs, outputs: ["ce", "z"] as const },
    { inputs: { logits: floats([0, 3]), targets: ints([0], 0, 3) }, attrs },
  ]),
  linear_cross_entropy: LOSSES.flatMap((attrs) => [
    {
      inputs: { hidden: floats([6, 4]), weight: floats([5, 4]), targets: ints([6], 0, 5) },
      attrs,
      outputs: ["loss"] as const,
    },
    {
      inputs: { hidden: floats([1, 3]), weight: floats([7, 3]), targets: ints([1], 0, 7) },
      attrs,
      outputs: ["loss"] as const,
    },
  ]),
} satisfies Samples;

/** The names of the inputs of an op that a sample differentiates, all floats by default. */
export type InputName<K extends OpName> = keyof OpTable[K]["inputs"];
