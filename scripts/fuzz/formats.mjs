// The formats of other programs, and our own files that could have been changed by others.

import { corenetData, documents, parquet } from "./formats/data.mjs";
import { adapter, corenet, gguf, hfConfig, mlx, safetensors, sharded } from "./formats/models.mjs";
import { checkpoint, promptCache, shards } from "./formats/own.mjs";
import { chatTemplate, sentencePiece, tokenizerJson } from "./formats/text.mjs";
import { metrics, trainConfig } from "./formats/training.mjs";

/** @type {Readonly<Record<string, import("./inputs.mjs").Format>>} */
export const FORMATS = {
  safetensors,
  sharded,
  config: hfConfig,
  corenet,
  mlx,
  gguf,
  adapter,
  "tokenizer-json": tokenizerJson,
  sentencepiece: sentencePiece,
  "chat-template": chatTemplate,
  shards,
  documents,
  parquet,
  "corenet-data": corenetData,
  "prompt-cache": promptCache,
  checkpoint,
  "train-config": trainConfig,
  metrics,
};
