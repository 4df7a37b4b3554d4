// OpenELM-270M on a GPU as it was trained: 16 sequences of 2048, bf16 products over f32 weights.
import { withMemory } from "../lib/training.js";

export const device = "cuda";

export const bench = () =>
  withMemory({
    name: "OpenELM-270M",
    model: "OpenELM-270M",
    batch: 16,
    time: 2048,
    dtype: "bf16",
    peers: ["torch", "torch compile"],
  });
