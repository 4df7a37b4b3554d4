import type { NameMap } from "@openelm/nn";

/** `qkvProj` is `qkv_proj` in the published checkpoints, `proj1` is `proj_1`. */
const snake = (path: string): string =>
  path.replace(/[A-Z]/g, (c) => `_${c.toLowerCase()}`).replace(/\bproj(\d)/g, "proj_$1");

/** Names of CoreNet's checkpoints. */
export const CORENET_NAMES: NameMap = { toFile: snake };

/** Names of the Hugging Face port, which mlx-lm reads as well. */
export const HF_NAMES: NameMap = {
  toFile: (path) =>
    /^classifier(?:\.|$)/.test(path) ? path.replace("classifier", "lm_head") : `transformer.${snake(path)}`,
};
