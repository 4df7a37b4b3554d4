// Models that a CPU trains in minutes, f32 and in bf16 autocast.
import type { Measurement } from "../lib/measure.js";
import { MODELS } from "../lib/models.js";
import { measureTraining, type Training } from "../lib/training.js";

const RUNS: readonly Omit<Training, "dtype">[] = [
  { name: "L6 d192 V2048", model: MODELS.L6d192, batch: 16, time: 128, peers: ["torch"] },
  { name: "L8 d256 V4096", model: MODELS.L8d256, batch: 8, time: 256, peers: ["torch", "torch compile"] },
  {
    name: "L8 d256 V32000",
    model: { ...MODELS.L8d256, vocabSize: 32_000 },
    batch: 8,
    time: 256,
    peers: ["torch"],
  },
];

export async function* bench(): AsyncGenerator<Measurement> {
  for (const run of RUNS) {
    for (const dtype of ["f32", "bf16"] as const) yield await measureTraining({ ...run, dtype });
  }
}
