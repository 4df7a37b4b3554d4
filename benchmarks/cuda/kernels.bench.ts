// Fused kernels at the sizes of training on a GPU, bf16, forwards and backwards.
import { addRmsNorm, attention, crossEntropy, randint, rmsNorm, uniform } from "@openelm/tensor";
import { memoryOf } from "../lib/compare.js";
import type { Measurement } from "../lib/measure.js";
import { bothPasses } from "../lib/passes.js";

export const device = "cuda";

export async function* bench(): AsyncGenerator<Measurement> {
  yield* norm(16_384, 2048);
  yield* addedNorm(16_384, 2048);
  yield* scores(8192, 32_000);
  yield* heads(8, 16, 4, 2048, 64);
  yield* heads(8, 24, 6, 2048, 128);
}

const BF16 = { dtype: "bf16" } as const;

function norm(rows: number, dim: number) {
  const bytes = 2 * rows * dim;
  const weight = uniform([dim], BF16);
  return bothPasses({
    name: `rms_norm ${rows}x${dim} bf16`,
    unit: "GB/s",
    work: [2 * bytes, 3 * bytes],
    f: (x, weight) => rmsNorm(x!, weight!),
    inputs: [uniform([rows, dim], BF16), weight],
    torch: { case: "rms_norm", rows, dim, dtype: "bf16" },
    limit: memoryOf,
  });
}

/** As under autocast: an f32 stream, whose branch and normed sum are bf16. */
function addedNorm(rows: number, dim: number) {
  const [wide, half] = [4 * rows * dim, 2 * rows * dim];
  return bothPasses({
    name: `add_rms_norm ${rows}x${dim} f32 and bf16`,
    unit: "GB/s",
    work: [2 * wide + 2 * half, 2 * wide + 2 * half],
    f: (x, branch, weight) => addRmsNorm(x!, branch!, weight!).y,
    inputs: [uniform([rows, dim]), uniform([rows, dim], BF16), uniform([dim])],
    torch: { case: "add_rms_norm", rows, dim, dtype: "bf16" },
    limit: memoryOf,
  });
}

function scores(rows: number, classes: number) {
  const bytes = 2 * rows * classes;
  const targets = randint([rows], 0, classes);
  return bothPasses({
    name: `cross_entropy ${rows}x${classes} bf16`,
    unit: "GB/s",
    work: [bytes, 2 * bytes],
    f: (x) => crossEntropy(x!, targets).loss,
    inputs: [uniform([rows, classes], BF16)],
    torch: { case: "cross_entropy", rows, classes, dtype: "bf16" },
    limit: memoryOf,
  });
}

function heads(batch: number, queryHeads: number, kvHeads: number, time: number, dim: number) {
  // Two products over the half of the scores that is not masked; backwards there are five, one of them again.
  const product = batch * queryHeads * time * time * dim;
  const make = (heads: number) => uniform([batch, heads, time, dim], BF16);
  return bothPasses({
    name: `attention B${batch} H${queryHeads}/${kvHeads} T${time} D${dim} bf16`,
    unit: "GFLOP/s",
    work: [2 * product, 5 * product],
    f: (q, k, v) => attention(q!, k!, v!),
    inputs: [make(queryHeads), make(kvHeads), make(kvHeads)],
    torch: { case: "attention", batch, heads: queryHeads, kv_heads: kvHeads, time, dim, dtype: "bf16" },
    limit: () => undefined,
  });
}
