import { rmsNorm, uniform } from "@openelm/tensor";
import { memoryOf } from "../lib/compare.js";
import type { Measurement } from "../lib/measure.js";
import { bothPasses } from "../lib/passes.js";

const [ROWS, DIM] = [4096, 1280];
const BYTES = ROWS * DIM * 4;

/** Forward reads x and writes y; backward reads x and dy and writes dx. */
export const bench = (): AsyncGenerator<Measurement> =>
  bothPasses({
    name: `ops/rms_norm ${ROWS}x${DIM}`,
    unit: "GB/s",
    work: [2 * BYTES, 3 * BYTES],
    f: (x, weight) => rmsNorm(x!, weight!),
    inputs: [uniform([ROWS, DIM]), uniform([DIM])],
    torch: { case: "rms_norm", rows: ROWS, dim: DIM },
    limit: memoryOf,
  });
