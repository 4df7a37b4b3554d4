import { ConfigError } from "@openelm/native";
import { checkSampling, type SamplingOptions } from "../sampling/options.js";
import type { CausalModel, Tokenizer } from "./contracts.js";

/** How several texts, or one, are made. */
export interface DecodeOptions extends SamplingOptions {
  readonly tokenizer: Tokenizer;
  /** Most tokens that are made; prompt and text together also end at the model's context. Default 128. */
  readonly maxTokens?: number | undefined;
  /** Ends before any of these texts. Default: none. */
  readonly stop?: string | readonly string[] | undefined;
  /** Same seed, same text. A whole number of 0 or more; default 0. */
  readonly seed?: number | undefined;
  /** Whether the prompt starts with the begin-of-text token. Default `true`. */
  readonly addBos?: boolean | undefined;
  /** Tokens that end the text. Default: the model's end-of-text token. */
  readonly stopIds?: readonly number[] | undefined;
  /**
   * Tells how likely the model held each token, before penalties and temperature, and so many of the likeliest ones
   * (0: the token's own only). Default: not told.
   */
  readonly logprobs?: number | undefined;
  /** Tokens of the prompt that the model reads at once, to bound memory. Default: all. */
  readonly prefillChunk?: number | undefined;
  /**
   * Whether the step of one token is recorded and replayed, which spares what its calls cost beside their arithmetic. Same
   * text either way. Default: for models that say they can (`replayable`).
   */
  readonly capture?: boolean | undefined;
  /** Ends the generation; it rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
}

/** Where guesses of the next tokens come from; the model checks several in one pass. */
export interface DraftOptions {
  /** `"prompt"`: what followed the last tokens where they stood before. A smaller model of the same vocabulary: its own text. */
  readonly from: "prompt" | CausalModel;
  /** Most tokens that are guessed at a time, 1 to 15: few rows cost a pass little more than one. Default 10 from the prompt, 4 from a model. */
  readonly tokens?: number | undefined;
  /** Tokens that must have stood before, at most; fewer are tried next. Only from the prompt. Default 3. */
  readonly ngram?: number | undefined;
}

/** Most guesses of a pass: up to 16 rows of a product are summed as one row is, so the model's choice is the same. */
export const MOST_DRAFTS = 15;

/** @throws ConfigError naming the option that is out of its range. @internal */
export function checkDecoding(options: DecodeOptions): void {
  const whole = (
    name: string,
    value: number | undefined,
    least: number,
    most = Number.MAX_SAFE_INTEGER,
  ): void => {
    if (value === undefined || (Number.isSafeInteger(value) && value >= least && value <= most)) return;
    const rule = most === Number.MAX_SAFE_INTEGER ? `of ${least} or more` : `of ${least} to ${most}`;
    throw new ConfigError(`${name} must be a whole number ${rule}, got ${value}`);
  };
  whole("maxTokens", options.maxTokens, 1);
  whole("seed", options.seed, 0);
  whole("logprobs", options.logprobs, 0, 100);
  whole("prefillChunk", options.prefillChunk, 1);
  checkSampling(options);
}

/** @throws ConfigError naming the option that is out of its range. @internal */
export function checkDraft({ from, tokens, ngram }: DraftOptions, { config }: CausalModel): void {
  if (tokens !== undefined && !(Number.isInteger(tokens) && tokens >= 1 && tokens <= MOST_DRAFTS)) {
    throw new ConfigError(`draft.tokens must be a whole number of 1 to ${MOST_DRAFTS}, got ${tokens}`);
  }
  if (ngram !== undefined && !(Number.isInteger(ngram) && ngram >= 1)) {
    throw new ConfigError(`draft.ngram must be a whole number of 1 or more, got ${ngram}`);
  }
  if (from === "prompt") return;
  if (typeof from !== "object" || from === null) {
    throw new ConfigError(`draft.from must be "prompt" or a model, got ${String(from)}`);
  }
  if (from.config.vocabSize !== config.vocabSize) {
    throw new ConfigError(
      `the draft model knows ${from.config.vocabSize} tokens and the model ${config.vocabSize}: they must share a vocabulary`,
    );
  }
}
