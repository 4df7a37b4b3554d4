// What one call costs from JavaScript or Python: the sum of eight numbers, computed and freed.
import { add, tensor } from "@openelm/tensor";
import { compare } from "./lib/compare.js";
import type { Measurement } from "./lib/measure.js";

export async function* bench(): AsyncGenerator<Measurement> {
  // Nothing but sums is submitted: the driver that tests have for GPUs knows no other kernel.
  const [a, b] = [tensor(new Float32Array(8)), tensor(new Float32Array(8))];
  const of = { case: "add", size: 8 };
  yield await compare({
    name: "add of 8",
    unit: "µs",
    work: 1,
    ours: () => add(a, b),
    torch: of,
    numpy: of,
    peers: { mlx: of, onnxruntime: of, tfjs: of, "jax-js": of, "mni-ml": of, "node-mlx": of },
  });
}
