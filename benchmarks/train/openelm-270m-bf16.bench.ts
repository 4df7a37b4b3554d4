// OpenELM-270M, bf16, speed and peak memory; a file of its own, because a peak is that of the process.
import { withMemory } from "../lib/training.js";

export const bench = () =>
  withMemory({
    name: "OpenELM-270M",
    model: "OpenELM-270M",
    batch: 1,
    time: 256,
    dtype: "bf16",
    peers: ["torch"],
  });
