// OpenELM-1.1B on a GPU: 8 sequences of 2048, bf16 products over f32 weights.
import { withMemory } from "../lib/training.js";

export const device = "cuda";

export const bench = () =>
  withMemory({
    name: "OpenELM-1.1B",
    model: "OpenELM-1_1B",
    batch: 8,
    time: 2048,
    dtype: "bf16",
    peers: ["torch compile"],
  });
