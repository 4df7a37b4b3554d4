// Ops that only move memory: one or two operands of 64 MB.
import { add, exp, sum, uniform } from "@openelm/tensor";
import { compare, memoryOf } from "../lib/compare.js";
import type { Measurement } from "../lib/measure.js";

const SIZE = 16_777_216;

export async function* bench(): AsyncGenerator<Measurement> {
  const [a, b] = [uniform([SIZE]), uniform([SIZE])];
  const calls = [
    ["add", 3, () => add(a, b)],
    ["exp", 2, () => exp(a)],
    ["sum", 1, () => sum(a)],
  ] as const;
  for (const [name, passes, ours] of calls) {
    const work = passes * SIZE * 4;
    yield await compare({
      name: `ops/${name} ${SIZE}`,
      unit: "GB/s",
      work,
      ours,
      torch: { case: "elementwise", name, size: SIZE },
      limit: memoryOf(work),
    });
  }
}
