// Updates of a Trainer, replayed as one command and made call by call.
import { OpenELM, type OpenELMOptions } from "@openelm/models";
import { defaults, withDefaults } from "@openelm/tensor";
import { AdamW, type Batch, Trainer } from "@openelm/train";
import type { Measurement } from "../lib/measure.js";
import { MODELS } from "../lib/models.js";
import { type Contender, takeTurns } from "../lib/turns.js";

interface Run {
  readonly name: string;
  readonly model: OpenELMOptions;
  readonly batch: number;
  readonly time: number;
  readonly accumulate: number;
  readonly precision: "f32" | "bf16";
}

/** So small that an update is nearly all dispatch. */
const L2d64: OpenELMOptions = {
  layers: 2,
  modelDim: 64,
  headDim: 16,
  vocabSize: 256,
  feedForward: [1, 2],
  feedForwardDivisor: 16,
};

const RUNS: readonly Run[] = [
  { name: "L2 d64 V256", model: L2d64, batch: 2, time: 16, accumulate: 1, precision: "f32" },
  { name: "L2 d64 V256", model: L2d64, batch: 2, time: 16, accumulate: 4, precision: "f32" },
  { name: "L2 d64 V256", model: L2d64, batch: 2, time: 16, accumulate: 1, precision: "bf16" },
  { name: "L6 d192 V2048", model: MODELS.L6d192, batch: 1, time: 64, accumulate: 1, precision: "f32" },
  { name: "L6 d192 V2048", model: MODELS.L6d192, batch: 8, time: 128, accumulate: 1, precision: "f32" },
];

export async function* bench(): AsyncGenerator<Measurement> {
  for (const run of RUNS) {
    const [replayed, eager] = [updates(run, true), updates(run, false)];
    const turns = await takeTurns({ replayed, eager }, { rounds: 7, seconds: 0.5 });
    const { name, batch, time, accumulate, precision } = run;
    yield {
      name: `train replay ${name} B${batch} T${time} ×${accumulate} ${precision}`,
      unit: "steps/s",
      faster: "larger",
      ours: 1 / turns.replayed!,
      peers: { "call by call": 1 / turns.eager! },
    };
  }
}

/** Updates of a run that never ends, with their losses read as the loop does it. */
function updates({ model: options, batch, time, accumulate, precision }: Run, capture: boolean): Contender {
  const model = withDefaults({ seed: 1, device: defaults().device }, () => new OpenELM(options));
  const loader = { state: null, restore() {}, [Symbol.asyncIterator]: () => same(batch, time) };
  const optimizer = new AdamW(model, { lr: 1e-3 });
  const trainer = new Trainer({
    model,
    optimizer,
    loader,
    steps: Number.MAX_SAFE_INTEGER,
    accumulate,
    precision,
    capture,
  });
  const events = trainer.run();
  return async (calls) => {
    const since = performance.now();
    for (let left = calls; left > 0; ) if ((await events.next()).value?.type === "step") left--;
    return (performance.now() - since) / 1e3;
  };
}

async function* same(rows: number, time: number): AsyncGenerator<Batch> {
  const ids = (shift: number): Int32Array =>
    Int32Array.from({ length: rows * time }, (_, i) => (i * 7 + shift) % 251);
  const batch = { inputs: ids(0), targets: ids(7), shape: [rows, time], tokens: rows * time };
  for (;;) yield batch;
}
