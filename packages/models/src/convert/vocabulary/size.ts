//! How many tokens a model has: the released 32000, with the padding token 32001, or rounded up for training 32128.
import { ConfigError } from "@openelm/native";
import { type OpenELMConfig, openelmConfig } from "../../openelm/config.js";
import type { ModelSource } from "../source.js";
import { resizeRows, type Weight } from "../weight.js";

/** Sizes of the vocabulary that have names. */
export const VOCABULARIES = {
  /** What was released: the tokens of the tokenizer. */
  released: 32000,
  /** One more, which pads. */
  padded: 32001,
  /** What was trained: rounded up to a multiple of 128. */
  trained: 32128,
} as const;

/** A name of {@link VOCABULARIES}, `"same"`, or a number of tokens. */
export type VocabularySize = keyof typeof VOCABULARIES | "same" | number;

/** The token that pads in the two larger vocabularies. */
const PADDING = VOCABULARIES.released;

/** Whether a number of tokens is one of the three that OpenELM has. */
export const isNamedSize = (size: number): boolean => Object.values<number>(VOCABULARIES).includes(size);

/** Tensors with one row a token, by CoreNet's names. */
const BY_TOKEN = ["token_embeddings.weight", "classifier.weight"];

/**
 * The source with another number of tokens: rows of the embedding and of the output layer are cut off or added as 0.
 *
 * @throws ConfigError for a size that is none.
 */
export function withVocabulary(source: ModelSource, wanted: VocabularySize): ModelSource {
  const size = sizeOf(wanted, source.config.vocabSize);
  if (size === source.config.vocabSize) return source;
  const weights = new Map<string, Weight>(source.weights);
  for (const name of BY_TOKEN) {
    const weight = weights.get(name);
    if (weight !== undefined) weights.set(name, resizeRows(weight, size));
  }
  return { ...source, weights, config: resized(source.config, size) };
}

function sizeOf(wanted: VocabularySize, current: number): number {
  if (wanted === "same") return current;
  const size = typeof wanted === "string" ? VOCABULARIES[wanted] : wanted;
  if (Number.isSafeInteger(size) && size >= 1) return size;
  throw new ConfigError(
    `the vocabulary must be ${Object.keys(VOCABULARIES).join(", ")}, same or a whole number above 0, got ${wanted}`,
  );
}

function resized(config: OpenELMConfig, vocabSize: number): OpenELMConfig {
  const { paddingIndex: padding } = config;
  const hasPadding = isNamedSize(vocabSize) && vocabSize > PADDING;
  const kept = padding !== undefined && padding < vocabSize ? padding : undefined;
  return openelmConfig({ ...config, vocabSize, paddingIndex: hasPadding ? PADDING : kept });
}

/** The vocabulary that a format has unless another is asked for: files for other programs have no padding rows. */
export function usualSize({ config }: ModelSource, isTraining: boolean): VocabularySize {
  return !isTraining && isNamedSize(config.vocabSize) ? "released" : "same";
}
