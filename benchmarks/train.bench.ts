// Whole training steps: loss, gradients, clipping, AdamW; the batch is on the device already.
import { valueAndGrad } from "@openelm/autograd";
import { OpenELM, type OpenELMOptions } from "@openelm/models";
import { autocast, randint } from "@openelm/tensor";
import { AdamW, clipGlobalNorm } from "@openelm/train";
import { compare } from "./lib/compare.js";
import type { Measurement } from "./lib/measure.js";
import { MODELS, peerModel } from "./lib/models.js";

const RUNS = [
  { name: "L6 d192 V2048", options: MODELS.L6d192, batch: 16, time: 128 },
  { name: "L8 d256 V4096", options: MODELS.L8d256, batch: 8, time: 256 },
] as const;

export async function* bench(): AsyncGenerator<Measurement> {
  for (const { name, options, batch, time } of RUNS) {
    for (const dtype of ["f32", "bf16"] as const) {
      const model = new OpenELM(options);
      yield await compare({
        name: `train ${name} B${batch} T${time} ${dtype}`,
        unit: "tokens/s",
        work: batch * time,
        ours: trainingStep(model, options, batch, time, dtype),
        torch: { case: "train", model: peerModel(model), batch, time, dtype },
        rounds: 5,
        seconds: 1,
      });
      for (const parameter of model.parameters()) parameter.value.dispose();
    }
  }
}

function trainingStep(
  model: OpenELM,
  { vocabSize }: OpenELMOptions,
  batch: number,
  time: number,
  dtype: "f32" | "bf16",
): () => void {
  const optimizer = new AdamW(model, { lr: 1e-3 });
  const inputs = randint([batch, time], 0, vocabSize);
  const targets = randint([batch, time], 0, vocabSize);
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
