import { adamw, type Tensor, tensor, uniform, zeros } from "@openelm/tensor";
import { compare, memoryOf } from "../lib/compare.js";
import type { Measurement } from "../lib/measure.js";

const SIZE = 16_000_000;

/** Reads the parameter, its gradient and both moments; writes all but the gradient. */
const BYTES = 7 * SIZE * 4;

export async function* bench(): AsyncGenerator<Measurement> {
  const [param, grad] = [uniform([SIZE]), uniform([SIZE])];
  const [m, v] = [zeros([SIZE]), zeros([SIZE])];
  const [lr, step, scale, skip] = [1e-3, 1, 1, 0].map((value) => tensor(value)) as [
    Tensor,
    Tensor,
    Tensor,
    Tensor,
  ];
  yield await compare({
    name: `ops/adamw ${SIZE}`,
    unit: "GB/s",
    work: BYTES,
    ours: () => adamw(lr, step, scale, skip, [param], [grad], [m], [v]),
    torch: { case: "adamw", size: SIZE },
    limit: memoryOf(BYTES),
  });
}
