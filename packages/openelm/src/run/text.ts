//! From text to shards: a tokenizer is trained if there is none, then the corpus is tokenized once.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { type Manifest, openShards, type Progress, prepare, Tokenizer } from "@openelm/data";
import type { TrainConfig } from "@openelm/train";

/** Hears how far a stage is. */
export type StageProgress = (stage: "tokenizer" | "shards", progress: Progress) => void;

export interface PrepareContext {
  /** The run's folder; tokenizer and shards go there. */
  readonly folder: string;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: StageProgress | undefined;
}

/** A corpus that can be trained on. */
export interface PreparedCorpus {
  readonly tokenizer: Tokenizer;
  /** Folder with the shards. */
  readonly shards: string;
  readonly manifest: Manifest;
}

/** The tokenizer that a configuration names, or one trained on its text and kept in the run's folder. */
export async function tokenizerOf(
  { tokenizer, data }: TrainConfig,
  { folder, signal, onProgress }: PrepareContext,
): Promise<Tokenizer> {
  if (typeof tokenizer === "string") return Tokenizer.load(tokenizer);
  if ("shards" in data) return (await openShards(data.shards)).tokenizer();
  if (existsSync(join(folder, "tokenizer.json"))) return Tokenizer.load(folder);
  const trained = await Tokenizer.train([data.text].flat(), {
    vocabSize: tokenizer!.vocabSize,
    read: { textKey: data.textKey },
    signal,
    onProgress: (progress) => onProgress?.("tokenizer", progress),
  });
  await trained.save(folder);
  return trained;
}

/** The shards that a configuration names, or those made of its text. */
export async function corpusOf(config: TrainConfig, context: PrepareContext): Promise<PreparedCorpus> {
  const { data } = config;
  const tokenizer = await tokenizerOf(config, context);
  if ("shards" in data) {
    const { manifest } = await openShards(data.shards);
    return { tokenizer, shards: data.shards, manifest };
  }
  const shards = join(context.folder, "shards");
  const { signal, onProgress } = context;
  const manifest = await prepare(
    {
      inputs: data.text,
      output: shards,
      tokenizer,
      textKey: data.textKey,
      validationFraction: data.validation,
      // What lies in a run's own folder was made by it, from the text that the configuration now names.
      overwrite: true,
    },
    { signal, onProgress: (progress) => onProgress?.("shards", progress) },
  );
  return { tokenizer, shards, manifest };
}

/** Targets of a split that count: each document's tokens but the first. */
export function countedTargets({ tokens, documents }: Manifest["train"]): number {
  return tokens - documents;
}
