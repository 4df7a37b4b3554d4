//! The configuration that goes on with a model on a text, as a whole or by an adapter beside it.
import type { TrainConfigInput } from "@openelm/train";

/** What such a run is made of, beside what {@link tuneConfig} decides. */
export interface TuneRun {
  /** The model's folder, with its tokenizer. */
  readonly from: string;
  /** Positions that the model is meant for. */
  readonly contextLength: number;
  /** Where the text is. */
  readonly text: string;
  readonly folder: string;
  /** Settings of an adapter; undefined trains all weights. */
  readonly lora: TrainConfigInput["lora"];
  readonly minutes?: number | undefined;
  readonly steps?: number | undefined;
}

/**
 * Adapters take higher learning rates than weights that are trained already, and no decay.
 *
 * @see Hu et al., 2021, "LoRA", arXiv:2106.09685, appendix D, for rates; OpenELM tunes with 3e-4 and none
 */
export function tuneConfig({
  from,
  contextLength,
  text,
  folder,
  lora,
  minutes,
  steps,
}: TuneRun): TrainConfigInput {
  const isAdapter = lora !== undefined;
  return {
    version: 1,
    folder,
    model: from,
    ...(isAdapter ? { lora } : {}),
    data: { text, validation: 0.02 },
    tokenizer: from,
    optim: {
      kind: "adamw",
      lr: isAdapter ? 1e-3 : 1e-4,
      betas: [0.9, 0.95],
      weightDecay: isAdapter ? 0 : 0.1,
      clip: 1,
    },
    schedule: { kind: "cosine", warmup: steps === undefined ? 20 : Math.min(20, Math.floor(steps / 10)) },
    loss: { zLoss: 0 },
    batch: { sequences: 8, sequenceLength: Math.min(contextLength, 256) },
    eval: { every: 100, batches: 20 },
    checkpoint: { every: 250 },
    ...(minutes === undefined ? {} : { minutes }),
    ...(steps === undefined ? {} : { steps }),
  };
}
