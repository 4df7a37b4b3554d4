import { ConfigError } from "@openelm/native";

/** How the next token is chosen from the scores. */
export interface SamplingOptions {
  /** Divides the scores; 0 takes the best token always. No unit; default 1. */
  readonly temperature?: number | undefined;
  /** Only the `topK` best tokens. Default: all. */
  readonly topK?: number | undefined;
  /** Only the fewest tokens whose probabilities sum to `topP`, in (0, 1]. Default: all. */
  readonly topP?: number | undefined;
  /** Only tokens at least `minP` times as likely as the best, in [0, 1]. Default: all. */
  readonly minP?: number | undefined;
  /** Divides positive scores of tokens that came before, prompt included, and multiplies negative ones. Default 1. */
  readonly repetitionPenalty?: number | undefined;
  /** Taken from the score of each token that was made before, however often. Default 0. */
  readonly presencePenalty?: number | undefined;
  /** Taken from the score of a token each time that it was made before. Default 0. */
  readonly frequencyPenalty?: number | undefined;
  /** Added to the scores of these tokens; −Infinity forbids one. Default: none. */
  readonly logitBias?: ReadonlyMap<number, number> | Readonly<Record<number, number>> | undefined;
}

/** @throws ConfigError naming the option that is out of its range. @internal */
export function checkSampling(options: SamplingOptions): void {
  const { temperature = 1, topK, topP, minP, repetitionPenalty = 1 } = options;
  const { presencePenalty = 0, frequencyPenalty = 0, logitBias } = options;
  const check = (name: string, isRight: boolean, rule: string, value: unknown): void => {
    if (!isRight) throw new ConfigError(`${name} must be ${rule}, got ${value}`);
  };
  check("temperature", Number.isFinite(temperature) && temperature >= 0, "0 or more", temperature);
  check("topK", topK === undefined || (Number.isInteger(topK) && topK >= 1), "a whole number above 0", topK);
  check("topP", topP === undefined || (topP > 0 && topP <= 1), "in (0, 1]", topP);
  check("minP", minP === undefined || (minP >= 0 && minP <= 1), "in [0, 1]", minP);
  const isPenalty = Number.isFinite(repetitionPenalty) && repetitionPenalty > 0;
  check("repetitionPenalty", isPenalty, "above 0", repetitionPenalty);
  check("presencePenalty", Number.isFinite(presencePenalty), "a finite number", presencePenalty);
  check("frequencyPenalty", Number.isFinite(frequencyPenalty), "a finite number", frequencyPenalty);
  for (const [id, bias] of biases(logitBias)) {
    check("logitBias", Number.isInteger(id) && id >= 0, "of tokens of 0 or more", id);
    check("logitBias", bias < Number.POSITIVE_INFINITY, `a number below Infinity for token ${id}`, bias);
  }
}

/** The pairs of token and bias. @internal */
export function biases(logitBias: SamplingOptions["logitBias"] = {}): readonly (readonly [number, number])[] {
  if (logitBias instanceof Map) return [...logitBias];
  return Object.entries(logitBias).map(([id, bias]) => [Number(id), bias]);
}
