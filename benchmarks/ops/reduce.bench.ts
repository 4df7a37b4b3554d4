// Reductions over all elements, over rows and over columns.
import { globalNorm, max, mean, sum, type Tensor, uniform } from "@openelm/tensor";
import { compare, memoryOf } from "../lib/compare.js";
import type { Measurement } from "../lib/measure.js";

const SIDE = 4096;
const BYTES = SIDE * SIDE * 4;

type Axis = { readonly axis?: number };

export async function* bench(): AsyncGenerator<Measurement> {
  const x = uniform([SIDE, SIDE]);
  const calls = [
    ["sum", (options: Axis): Tensor => sum(x, options)],
    ["mean", (options: Axis): Tensor => mean(x, options)],
    ["max", (options: Axis): Tensor => max(x, options)],
  ] as const;
  const axes = [
    ["all", {}],
    ["rows", { axis: 1 }],
    ["columns", { axis: 0 }],
  ] as const;
  for (const [name, reduce] of calls) {
    for (const [over, options] of axes) {
      yield await compare({
        name: `ops/${name} of ${over} ${SIDE}x${SIDE}`,
        unit: "GB/s",
        work: BYTES,
        ours: () => reduce(options),
        torch: { case: "reduce", name, over, size: SIDE },
        limit: memoryOf(BYTES),
      });
    }
  }
  yield await compare({
    name: `ops/global_norm ${SIDE}x${SIDE}`,
    unit: "GB/s",
    work: BYTES,
    ours: () => globalNorm([x]),
    torch: { case: "reduce", name: "norm", over: "all", size: SIDE },
    limit: memoryOf(BYTES),
  });
}
