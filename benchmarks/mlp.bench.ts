// Training steps of a small classifier, where the calls cost as much as the arithmetic.
import { valueAndGrad } from "@openelm/autograd";
import { crossEntropyLoss, Linear, Module } from "@openelm/nn";
import { randint, relu, type Tensor, uniform } from "@openelm/tensor";
import { SGD } from "@openelm/train";
import { compare } from "./lib/compare.js";
import type { Measurement } from "./lib/measure.js";

const SIZES = [784, 1024, 10] as const;
const BATCH = 64;

class Classifier extends Module {
  readonly up = new Linear(SIZES[0], SIZES[1], { bias: true });
  readonly down = new Linear(SIZES[1], SIZES[2], { bias: true });
  forward(x: Tensor): Tensor {
    return this.down.forward(relu(this.up.forward(x)));
  }
}

export async function* bench(): AsyncGenerator<Measurement> {
  const model = new Classifier();
  const optimizer = new SGD(model, { lr: 0.01 });
  const x = uniform([BATCH, SIZES[0]]);
  const y = randint([BATCH], 0, SIZES[2]);
  const lossAndGrad = valueAndGrad((model: Classifier) => crossEntropyLoss(model.forward(x), y, BATCH).loss);
  yield await compare({
    name: `mlp ${SIZES.join("-")} batch ${BATCH} SGD`,
    unit: "steps/s",
    work: 1,
    ours: () => {
      const { grads } = lossAndGrad(model);
      optimizer.step(model, grads);
    },
    torch: { case: "mlp", sizes: SIZES, batch: BATCH },
    seconds: 0.3,
  });
}
