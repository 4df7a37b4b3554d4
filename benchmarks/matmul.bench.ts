// Products of the sizes that models have; the limit is what a large square one reaches in the same rounds.
import { matmul, permute, type Tensor, uniform } from "@openelm/tensor";
import { type Bound, compare } from "./lib/compare.js";
import type { Measurement } from "./lib/measure.js";
import type { PeerCase } from "./lib/peer.js";
import type { PeerCases } from "./lib/peers.js";
import { ours } from "./lib/turns.js";

export const threads = "one and all";

/** Which operands lie in memory as the transposes of what is multiplied: N no, T yes. */
type Layout = "NN" | "NT" | "TN" | "TT";
type Size = readonly [m: number, k: number, n: number];

const LAYOUTS = ["NN", "NT", "TN", "TT"] as const;
const SQUARE: Size = [1024, 1024, 1024];
/** A layer's product is x · Wᵀ: of the quickstart's model, then of OpenELM-270M for a prompt, a few tokens, one. */
const LAYERS: readonly Size[] = [
  [2048, 192, 768],
  [512, 1280, 1536],
  [512, 1280, 7680],
  [512, 3840, 1280],
  [8, 1280, 7680],
  [1, 1280, 7680],
  [1, 1280, 32_000],
];
/** So small that what a call costs beside its arithmetic counts; many are on their way at once. */
const SMALL: readonly Size[] = [64, 128, 256].map((n) => [n, n, n] as const);

export async function* bench(): AsyncGenerator<Measurement> {
  for (const layout of LAYOUTS) yield await product(SQUARE, layout);
  yield await product([2048, 2048, 2048], "NN");
  for (const size of SMALL) yield await product(size, "NN");
  for (const size of LAYERS) yield await product(size, "NT");
  for (const layout of ["NN", "TN", "TT"] as const) yield await product([512, 1280, 1536], layout);
  for (const size of [SQUARE, ...LAYERS.slice(1)]) yield await half(size);
}

function product(size: Size, layout: Layout): Promise<Measurement> {
  const [m, k, n] = size;
  const of = { case: "matmul", m, k, n, ta: layout[0] === "T", tb: layout[1] === "T" };
  const [a, b] = operands(size, layout);
  return compare({
    name: `matmul f32 ${layout} ${m}x${k}x${n}`,
    unit: "GFLOP/s",
    work: 2 * m * k * n,
    ours: () => matmul(a, b),
    torch: of,
    numpy: of,
    peers: { mkl: of, gemm: of, faer: of, ...slower(of, layout, m * k * n) },
    ...(size !== SQUARE && { limit: squareProduct() }),
  });
}

/** Libraries of JavaScript and MLX on a CPU take part where they end in time. */
const slower = (of: PeerCase, layout: Layout, size: number): PeerCases =>
  layout === "NN" && size <= 1024 ** 3
    ? { mlx: of, onnxruntime: of, tfjs: of, "jax-js": of, "mni-ml": of, "node-mlx": of }
    : {};

/** bf16 operands of a layer, summed in f32, which is also what ours gives; PyTorch rounds the result to bf16. */
function half(size: Size): Promise<Measurement> {
  const [m, k, n] = size;
  const of = { case: "matmul", m, k, n, ta: false, tb: true, dtype: "bf16" };
  const [a, b] = operands(size, "NT").map((x) => x.to("bf16")) as [Tensor, Tensor];
  return compare({
    name: `matmul bf16 NT ${m}x${k}x${n}`,
    unit: "GFLOP/s",
    work: 2 * m * k * n,
    ours: () => matmul(a, b, { outDtype: "f32" }),
    torch: of,
  });
}

function operands([m, k, n]: Size, layout: Layout): [Tensor, Tensor] {
  const of = (rows: number, columns: number, kind: string): Tensor =>
    kind === "N" ? uniform([rows, columns]) : permute(uniform([columns, rows]), [1, 0]);
  return [of(m, k, layout[0]!), of(k, n, layout[1]!)];
}

/** What arithmetic gives: the product of two 1024² matrices. */
export function squareProduct(): Bound[] {
  const [a, b] = operands(SQUARE, "NN");
  return [{ contender: ours(() => matmul(a, b)), work: 2 * 1024 ** 3 }];
}
