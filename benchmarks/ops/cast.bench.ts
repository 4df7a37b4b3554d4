// Conversions between dtypes.
import { type DType, uniform } from "@openelm/tensor";
import { compare, memoryOf } from "../lib/compare.js";
import type { Measurement } from "../lib/measure.js";

const SIZE = 16_777_216;
const CASES: readonly (readonly [from: DType, to: DType, bytes: number])[] = [
  ["f32", "bf16", 6],
  ["bf16", "f32", 6],
  ["f32", "f16", 6],
  ["f16", "f32", 6],
  ["f32", "i32", 8],
];

export async function* bench(): AsyncGenerator<Measurement> {
  for (const [from, to, bytes] of CASES) {
    const x = uniform([SIZE]).to(from);
    yield await compare({
      name: `ops/cast ${from} to ${to} ${SIZE}`,
      unit: "GB/s",
      work: bytes * SIZE,
      ours: () => x.to(to),
      torch: { case: "cast", size: SIZE, source: from, target: to },
      limit: memoryOf(bytes * SIZE),
    });
  }
}
