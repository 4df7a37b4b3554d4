import { swiglu, uniform } from "@openelm/tensor";
import { memoryOf } from "../lib/compare.js";
import type { Measurement } from "../lib/measure.js";
import { bothPasses } from "../lib/passes.js";

const [ROWS, DIM] = [512, 3840];
const BYTES = ROWS * DIM * 4;

/** Forward reads both halves and writes their product; backward reads them and dy and writes two gradients. */
export const bench = (): AsyncGenerator<Measurement> =>
  bothPasses({
    name: `ops/swiglu ${ROWS}x${DIM}`,
    unit: "GB/s",
    work: [3 * BYTES, 5 * BYTES],
    f: (x) => swiglu(x!),
    inputs: [uniform([ROWS, 2 * DIM])],
    torch: { case: "swiglu", rows: ROWS, dim: DIM },
    limit: memoryOf,
  });
