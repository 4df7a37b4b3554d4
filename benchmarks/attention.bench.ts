// Causal attention of one sequence, with as many key-value heads as query heads and with a fourth of them.
import { attention, uniform } from "@openelm/tensor";
import type { Measurement } from "./lib/measure.js";
import { bothPasses } from "./lib/passes.js";
import { squareProduct } from "./matmul.bench.js";

const [BATCH, HEADS, TIME, DIM] = [1, 12, 512, 64];

/** Two products over the half of the scores that is not masked; backwards there are five, one of them again. */
const PRODUCT = BATCH * HEADS * TIME * TIME * DIM;

export async function* bench(): AsyncGenerator<Measurement> {
  for (const kvHeads of [HEADS, HEADS / 4]) {
    const [k, v] = [0, 1].map(() => uniform([BATCH, kvHeads, TIME, DIM]));
    yield* bothPasses({
      name: `attention B${BATCH} H${HEADS}/${kvHeads} T${TIME} D${DIM}`,
      unit: "GFLOP/s",
      work: [2 * PRODUCT, 5 * PRODUCT],
      f: (q, k, v) => attention(q!, k!, v!),
      inputs: [uniform([BATCH, HEADS, TIME, DIM]), k!, v!],
      torch: { case: "attention", batch: BATCH, heads: HEADS, kv_heads: kvHeads, time: TIME, dim: DIM },
      limit: squareProduct,
    });
  }
}
