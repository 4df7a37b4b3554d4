// Copies of attention's layouts: B batch, T time, H heads, D their size.
import { contiguous, type DType, permute, uniform } from "@openelm/tensor";
import { compare, memoryOf } from "../lib/compare.js";
import type { Measurement } from "../lib/measure.js";

const SHAPE = [16, 1024, 16, 64] as const;
const CASES: readonly (readonly [to: string, axes: readonly number[], dtype: DType, width: number])[] = [
  ["BHTD", [0, 2, 1, 3], "f32", 4],
  ["BHDT", [0, 2, 3, 1], "f32", 4],
  ["BHTD", [0, 2, 1, 3], "bf16", 2],
  ["BHDT", [0, 2, 3, 1], "bf16", 2],
];

export async function* bench(): AsyncGenerator<Measurement> {
  for (const [to, axes, dtype, width] of CASES) {
    const x = uniform(SHAPE).to(dtype);
    const work = 2 * width * SHAPE.reduce((product: number, dim) => product * dim, 1);
    yield await compare({
      name: `ops/permute BTHD to ${to} ${SHAPE.join("x")} ${dtype}`,
      unit: "GB/s",
      work,
      ours: () => contiguous(permute(x, axes)),
      torch: { case: "permute", shape: SHAPE, axes, dtype },
      limit: memoryOf(work),
    });
  }
}
