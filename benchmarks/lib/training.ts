import { valueAndGrad } from "@openelm/autograd";
import { OpenELM, type OpenELMOptions, type OpenELMSize } from "@openelm/models";
import { autocast, randint } from "@openelm/tensor";
import { AdamW, clipGlobalNorm } from "@openelm/train";
import { compare } from "./compare.js";
import type { Measurement } from "./measure.js";
import { peakMemory } from "./memory.js";
import { peerModel } from "./models.js";
import type { PeerName } from "./peers.js";

/** Training of a model on one batch. */
export interface Training {
  readonly name: string;
  readonly model: OpenELMSize | OpenELMOptions;
  readonly batch: number;
  readonly time: number;
  readonly dtype: "f32" | "bf16";
  readonly peers: readonly PeerName[];
}

export const trainingName = ({ name, batch, time, dtype }: Training): string =>
  `train ${name} B${batch} T${time} ${dtype}`;

/** Whole training steps: loss, gradients, clipping, AdamW; the batch is on the device already. */
export async function measureTraining(training: Training): Promise<Measurement> {
  const { batch, time, dtype, peers } = training;
  const model = new OpenELM(training.model);
  const of = { case: "train", model: peerModel(model), batch, time, dtype };
  const measurement = await compare({
    name: trainingName(training),
    unit: "tokens/s",
    work: batch * time,
    ours: trainingStep(model, training),
    peers: Object.fromEntries(peers.map((peer) => [peer, of])),
    rounds: 5,
    seconds: 1,
  });
  for (const parameter of model.parameters()) parameter.value.dispose();
  return measurement;
}

function trainingStep(model: OpenELM, { batch, time, dtype }: Training): () => void {
  const optimizer = new AdamW(model, { lr: 1e-3 });
  const inputs = randint([batch, time], 0, model.config.vocabSize);
  const targets = randint([batch, time], 0, model.config.vocabSize);
  const lossAndGrad = valueAndGrad((model: OpenELM) => {
    const { loss } = autocast(dtype === "f32" ? "off" : dtype, () => model.loss({ inputs, targets }));
    return loss;
  });
  return () => {
    const { value, grads } = lossAndGrad(model);
    const { scale, skip } = clipGlobalNorm(grads, 1, [value]);
    optimizer.step(model, grads, { scale, skip });
  };
}

/** The speed of a training, then what it took at most. */
export async function* withMemory(training: Training): AsyncGenerator<Measurement> {
  yield await measureTraining(training);
  const memory = await peakMemory(`${trainingName(training)} memory`, training.peers);
  if (memory) yield memory;
}
