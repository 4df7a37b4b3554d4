import { rope, uniform } from "@openelm/tensor";
import { memoryOf } from "../lib/compare.js";
import type { Measurement } from "../lib/measure.js";
import { bothPasses } from "../lib/passes.js";

const [HEADS, TIME, DIM] = [12, 2048, 64];
const BYTES = HEADS * TIME * DIM * 4;

/** Both passes read one array and write one; the angles are few. */
export const bench = (): AsyncGenerator<Measurement> =>
  bothPasses({
    name: `ops/rope H${HEADS} T${TIME} D${DIM}`,
    unit: "GB/s",
    work: [2 * BYTES, 2 * BYTES],
    f: (x) => rope(x!),
    inputs: [uniform([1, HEADS, TIME, DIM])],
    torch: { case: "rope", heads: HEADS, time: TIME, dim: DIM },
    limit: memoryOf,
  });
