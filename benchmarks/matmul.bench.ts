// f32 products of the sizes that models have; the limit is what a large square one reaches in the same rounds.
import { matmul, type Tensor, uniform } from "@openelm/tensor";
import { type Bound, compare } from "./lib/compare.js";
import type { Measurement } from "./lib/measure.js";
import { ours } from "./lib/turns.js";

const SQUARE = [1024, 1024, 1024] as const;
const SIZES = [SQUARE, [2048, 192, 768], [512, 1280, 1536], [8, 1280, 7680], [1, 1280, 7680]] as const;

export async function* bench(): AsyncGenerator<Measurement> {
  for (const size of SIZES) {
    const [m, k, n] = size;
    const [a, b] = operands(size);
    const options = { case: "matmul", m, k, n };
    yield await compare({
      name: `matmul f32 ${m}x${k}x${n}`,
      unit: "GFLOP/s",
      work: 2 * m * k * n,
      ours: () => matmul(a, b),
      torch: options,
      numpy: options,
      ...(size !== SQUARE && { limit: squareProduct() }),
    });
  }
}

const operands = ([m, k, n]: readonly [number, number, number]): [Tensor, Tensor] => [
  uniform([m, k]),
  uniform([k, n]),
];

/** What arithmetic gives: the product of two 1024² matrices. */
export function squareProduct(): Bound[] {
  const [a, b] = operands(SQUARE);
  return [{ contender: ours(() => matmul(a, b)), work: 2 * 1024 ** 3 }];
}
