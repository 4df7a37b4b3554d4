import { valueAndGrad } from "@openelm/autograd";
import { Generator, randint, type Tensor, withDefaults } from "@openelm/tensor";
import { AdamW } from "@openelm/train";
import { WindowLM } from "./model.js";

const [BATCH, TIME, VOCABULARY] = [16, 24, 16];

/**
 * Trains a model of one layer to say the token that stood `distance` positions before, and gives its last loss.
 *
 * The tokens are random, so the answer can only be looked up: a window that is too short leaves the loss at
 * `ln 16 = 2.77`.
 */
export async function trainRecall({ window = 6, distance = 4, steps = 150, seed = 1 } = {}): Promise<number> {
  const model = withDefaults({ seed }, () => new WindowLM(VOCABULARY, 1, { dim: 32, heads: 2, window }));
  const optimizer = new AdamW(model, { lr: 1e-2, weightDecay: 0 });
  const generator = new Generator(seed).fork("data");
  const lossAndGrad = valueAndGrad((model: WindowLM, ids: Tensor, targets: Tensor) =>
    model.loss(ids, targets, BATCH * (TIME - distance)),
  );
  let last = Number.NaN;
  for (let step = 0; step < steps; step++) {
    const ids = randint([BATCH, TIME], 0, VOCABULARY, { generator });
    const targets = ids.roll(distance, { axis: 1 });
    targets.setAt([":", `:${distance}`], -100);
    const { value, grads } = lossAndGrad(model, ids, targets);
    optimizer.step(model, grads);
    grads.dispose();
    last = await value.item();
    for (const t of [ids, targets, value]) t.dispose();
  }
  return last;
}
