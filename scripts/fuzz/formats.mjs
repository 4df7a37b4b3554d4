// The formats of other programs, and our own files that could have been changed by others.

import { corenet, gguf, hfConfig, mlx, safetensors, sharded } from "./formats/models.mjs";
import { checkpoint, promptCache, shards } from "./formats/own.mjs";
import { chatTemplate, sentencePiece, tokenizerJson } from "./formats/text.mjs";

/** @type {Readonly<Record<string, import("./inputs.mjs").Format>>} */
export const FORMATS = {
  safetensors,
  sharded,
  config: hfConfig,
  corenet,
  mlx,
  gguf,
  "tokenizer-json": tokenizerJson,
  sentencepiece: sentencePiece,
  "chat-template": chatTemplate,
  shards,
  "prompt-cache": promptCache,
  checkpoint,
};
