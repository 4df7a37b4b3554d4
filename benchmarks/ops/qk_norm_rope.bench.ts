import { concat, qkNormRope, uniform } from "@openelm/tensor";
import { memoryOf } from "../lib/compare.js";
import type { Measurement } from "../lib/measure.js";
import { bothPasses } from "../lib/passes.js";

const [HEADS, KV_HEADS, TIME, DIM] = [12, 3, 512, 64];
const WIDTH = (HEADS + 2 * KV_HEADS) * DIM;
const BYTES = TIME * WIDTH * 4;

/**
 * Forward reads the joint projection and writes its parts; backward reads the projection and the gradients of the
 * parts and writes one of the projection. The parts are joined, so that one array comes out, also in PyTorch.
 */
export const bench = (): AsyncGenerator<Measurement> =>
  bothPasses({
    name: `ops/qk_norm_rope H${HEADS}/${KV_HEADS} T${TIME} D${DIM}`,
    unit: "GB/s",
    work: [4 * BYTES, 5 * BYTES],
    f: (qkv, qWeight, kWeight) => {
      const parts = qkNormRope(qkv!, { qWeight, kWeight, queryHeads: HEADS, kvHeads: KV_HEADS });
      return concat([parts.q, parts.k, parts.v], { axis: 1 });
    },
    inputs: [uniform([1, TIME, WIDTH]), uniform([DIM]), uniform([DIM])],
    torch: { case: "qk_norm_rope", heads: HEADS, kv_heads: KV_HEADS, time: TIME, dim: DIM },
    limit: memoryOf,
  });
