import { crossEntropy, randint, uniform } from "@openelm/tensor";
import { memoryOf } from "../lib/compare.js";
import type { Measurement } from "../lib/measure.js";
import { bothPasses } from "../lib/passes.js";

const [ROWS, CLASSES] = [2048, 32_000];
const BYTES = ROWS * CLASSES * 4;

/** Forward reads the logits; backward reads them and writes their gradient. */
export async function* bench(): AsyncGenerator<Measurement> {
  const targets = randint([ROWS], 0, CLASSES);
  yield* bothPasses({
    name: `ops/cross_entropy ${ROWS}x${CLASSES}`,
    unit: "GB/s",
    work: [BYTES, 2 * BYTES],
    f: (logits) => crossEntropy(logits!, targets).loss,
    inputs: [uniform([ROWS, CLASSES])],
    torch: { case: "cross_entropy", rows: ROWS, classes: CLASSES },
    limit: memoryOf,
  });
}
