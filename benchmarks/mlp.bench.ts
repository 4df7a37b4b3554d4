// A small classifier, where the calls cost as much as the arithmetic: training steps, and its forward pass.
import { inference, valueAndGrad } from "@openelm/autograd";
import { crossEntropyLoss, Linear, Module } from "@openelm/nn";
import { randint, relu, type Tensor, uniform } from "@openelm/tensor";
import { AdamW, type Optimizer, SGD } from "@openelm/train";
import { compare } from "./lib/compare.js";
import type { Measurement } from "./lib/measure.js";
import type { PeerName } from "./lib/peers.js";

export const threads = "one and all";

const SIZES = [784, 1024, 10] as const;
const BATCH = 64;
const NAME = `mlp ${SIZES.join("-")} batch ${BATCH}`;

class Classifier extends Module {
  readonly up = new Linear(SIZES[0], SIZES[1], { bias: true });
  readonly down = new Linear(SIZES[1], SIZES[2], { bias: true });
  forward(x: Tensor): Tensor {
    return this.down.forward(relu(this.up.forward(x)));
  }
}

/** PyTorch's Adam is the fused one. Some peers have only one of the two optimizers. */
const OPTIMIZERS: readonly [name: string, make: (model: Classifier) => Optimizer, peers: PeerName[]][] = [
  [
    "SGD",
    (model) => new SGD(model, { lr: 0.01 }),
    ["torch", "torch compile", "C + OpenBLAS", "mlx", "tfjs", "jax-js", "node-mlx"],
  ],
  [
    "Adam",
    (model) => new AdamW(model, { lr: 1e-3, weightDecay: 0 }),
    ["torch", "torch compile", "C + OpenBLAS", "mlx", "tfjs", "mni-ml", "node-mlx"],
  ],
];

export async function* bench(): AsyncGenerator<Measurement> {
  const x = uniform([BATCH, SIZES[0]]);
  const y = randint([BATCH], 0, SIZES[2]);
  const of = { case: "mlp", sizes: SIZES, batch: BATCH };
  const all = (peers: readonly PeerName[], more: object) =>
    Object.fromEntries(peers.map((peer) => [peer, { ...of, ...more }]));
  for (const [name, make, peers] of OPTIMIZERS) {
    const model = new Classifier();
    const optimizer = make(model);
    const lossAndGrad = valueAndGrad(
      (model: Classifier) => crossEntropyLoss(model.forward(x), y, BATCH).loss,
    );
    yield await compare({
      name: `${NAME} ${name}`,
      unit: "steps/s",
      work: 1,
      ours: () => optimizer.step(model, lossAndGrad(model).grads),
      peers: all(peers, { optimizer: name.toLowerCase() }),
      seconds: 0.3,
    });
  }
  const model = new Classifier();
  yield await compare({
    name: `${NAME} forward`,
    unit: "steps/s",
    work: 1,
    ours: () => inference(() => void model.forward(x)),
    peers: all(["torch", "mlx", "onnxruntime", "tfjs", "jax-js"], { optimizer: null }),
    seconds: 0.3,
  });
}
