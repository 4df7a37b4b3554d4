//! The configuration of a small model that a processor trains in minutes.
import type { TrainConfigInput } from "@openelm/train";

/** What a small run is made of, beside what {@link smallConfig} decides. */
export interface SmallRun {
  /** Where the text is. */
  readonly text: string;
  /** Its size, by which the vocabulary is chosen. */
  readonly bytes: number;
  readonly folder: string;
  readonly minutes?: number | undefined;
  readonly steps?: number | undefined;
  readonly seed?: number | undefined;
}

/** Layers that grow from 3 to 6 heads' width and from 1 to 3 times the model's in the feed-forward part. */
const MODEL = {
  layers: 6,
  modelDim: 192,
  headDim: 32,
  attention: [0.5, 1],
  feedForward: [1, 3],
  feedForwardDivisor: 32,
  maxContextLength: 512,
} satisfies TrainConfigInput["model"];

/**
 * A model of six layers with layer-wise scaling, and what trains it well for some minutes.
 *
 * docs/quickstart.md has the measurements that the numbers come from.
 */
export function smallConfig({ text, bytes, folder, minutes, steps, seed = 0 }: SmallRun): TrainConfigInput {
  return {
    version: 1,
    folder,
    model: MODEL,
    data: { text, validation: 0.02 },
    tokenizer: { vocabSize: vocabSizeFor(bytes) },
    optim: { kind: "adamw", lr: 4e-3, betas: [0.9, 0.95], weightDecay: 0.1, clip: 1 },
    schedule: { kind: "cosine", warmup: steps === undefined ? 40 : Math.min(40, Math.floor(steps / 10)) },
    loss: { zLoss: 0 },
    batch: { sequences: 16, sequenceLength: 128 },
    eval: { every: 250, batches: 20 },
    checkpoint: { every: 250 },
    ...(minutes === undefined ? {} : { minutes }),
    ...(steps === undefined ? {} : { steps }),
    seed,
  };
}

/** More text fills a larger vocabulary. */
function vocabSizeFor(bytes: number): number {
  if (bytes < 300_000) return 512;
  return bytes < 3_000_000 ? 1024 : 2048;
}
