import { addRmsNorm, uniform } from "@openelm/tensor";
import { memoryOf } from "../lib/compare.js";
import type { Measurement } from "../lib/measure.js";
import { bothPasses } from "../lib/passes.js";

const [ROWS, DIM] = [4096, 1280];
const BYTES = ROWS * DIM * 4;

/** Forward reads x and the branch and writes their sum and y; backward reads the sum and dy and writes dx. */
export const bench = (): AsyncGenerator<Measurement> =>
  bothPasses({
    name: `ops/add_rms_norm ${ROWS}x${DIM}`,
    unit: "GB/s",
    work: [4 * BYTES, 3 * BYTES],
    f: (x, branch, weight) => addRmsNorm(x!, branch!, weight!).y,
    inputs: [uniform([ROWS, DIM]), uniform([ROWS, DIM]), uniform([DIM])],
    torch: { case: "add_rms_norm", rows: ROWS, dim: DIM },
    limit: memoryOf,
  });
