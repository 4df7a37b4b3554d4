import { gelu, uniform } from "@openelm/tensor";
import { memoryOf } from "../lib/compare.js";
import type { Measurement } from "../lib/measure.js";
import { bothPasses } from "../lib/passes.js";

const [ROWS, DIM] = [2048, 3072];
const BYTES = ROWS * DIM * 4;

/** Forward reads x and writes y; backward reads x and dy and writes dx. */
export async function* bench(): AsyncGenerator<Measurement> {
  for (const approximate of ["none", "tanh"] as const) {
    yield* bothPasses({
      name: `ops/gelu ${approximate === "none" ? "exact" : approximate} ${ROWS}x${DIM}`,
      unit: "GB/s",
      work: [2 * BYTES, 3 * BYTES],
      f: (x) => gelu(x!, { approximate }),
      inputs: [uniform([ROWS, DIM])],
      torch: { case: "gelu", rows: ROWS, dim: DIM, approximate },
      limit: memoryOf,
    });
  }
}
