// What a small call costs on a GPU until it is submitted, from JavaScript or Python: the sum of eight numbers.
import { add, tensor } from "@openelm/tensor";
import { compare } from "../lib/compare.js";
import type { Measurement } from "../lib/measure.js";

export const device = "cuda";

export async function* bench(): AsyncGenerator<Measurement> {
  // Nothing but sums is submitted: the driver made for tests knows no other kernel.
  const [a, b] = [tensor(new Float32Array(8)), tensor(new Float32Array(8))];
  yield await compare({
    name: "add of 8",
    unit: "µs",
    work: 1,
    ours: () => add(a, b),
    torch: { case: "add", size: 8 },
  });
}
