import { contiguous, permute, uniform } from "@openelm/tensor";
import { compare, memoryOf } from "../lib/compare.js";
import type { Measurement } from "../lib/measure.js";

const SIZE = 4096;

export async function* bench(): AsyncGenerator<Measurement> {
  const x = uniform([SIZE, SIZE]);
  const work = 2 * SIZE * SIZE * 4;
  yield await compare({
    name: `ops/transpose ${SIZE}x${SIZE}`,
    unit: "GB/s",
    work,
    ours: () => contiguous(permute(x, [1, 0])),
    torch: { case: "transpose", size: SIZE },
    limit: memoryOf(work),
  });
}
