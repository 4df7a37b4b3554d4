import { embedding, randint, uniform } from "@openelm/tensor";
import { memoryOf } from "../lib/compare.js";
import type { Measurement } from "../lib/measure.js";
import { bothPasses } from "../lib/passes.js";

const [ROWS, CLASSES, DIM] = [2048, 32_000, 1280];
const BYTES = ROWS * DIM * 4;

/** Forward reads the rows asked for and writes them; backward reads as many and writes a gradient of the whole table. */
export async function* bench(): AsyncGenerator<Measurement> {
  const ids = randint([ROWS], 0, CLASSES);
  yield* bothPasses({
    name: `ops/embedding ${ROWS} of ${CLASSES}x${DIM}`,
    unit: "GB/s",
    work: [2 * BYTES, BYTES + CLASSES * DIM * 4],
    f: (weight) => embedding(weight!, ids),
    inputs: [uniform([CLASSES, DIM])],
    torch: { case: "embedding", rows: ROWS, classes: CLASSES, dim: DIM },
    limit: memoryOf,
  });
}
