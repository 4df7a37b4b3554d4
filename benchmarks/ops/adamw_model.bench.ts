// The optimizer's step over all parameters of a model in one launch, small ones among them.
import { OpenELM } from "@openelm/models";
import { adamw, tensor, uniform, zeros } from "@openelm/tensor";
import { compare, memoryOf } from "../lib/compare.js";
import type { Measurement } from "../lib/measure.js";
import { MODELS } from "../lib/models.js";

export async function* bench(): AsyncGenerator<Measurement> {
  const shapes = Array.from(new OpenELM(MODELS.L8d256).parameters(), ({ shape }) => shape);
  const size = shapes.reduce((sum, shape) => sum + shape.reduce((product, n) => product * n, 1), 0);
  // As ops/adamw: reads four arrays and writes three.
  const bytes = 7 * size * 4;
  const [params, grads] = [0, 1].map(() => shapes.map((shape) => uniform(shape)));
  const [means, squares] = [0, 1].map(() => shapes.map((shape) => zeros(shape)));
  const [lr, step, scale, skip] = [1e-3, 1, 1, 0].map((value) => tensor(value));
  yield await compare({
    name: `ops/adamw L8 d256 V4096, ${shapes.length} parameters`,
    unit: "GB/s",
    work: bytes,
    ours: () => adamw(lr!, step!, scale!, skip!, params!, grads!, means!, squares!),
    torch: { case: "adamw_model", shapes },
    limit: memoryOf(bytes),
  });
}
