//! Which token comes next.
import { ConfigError } from "@openelm/native";
import { argmax, type Generator, multinomial, softmax, sort, type Tensor, where } from "@openelm/tensor";

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
  /** Divides positive scores of tokens that came before, and multiplies negative ones. Default 1. */
  readonly repetitionPenalty?: number | undefined;
}

/** What {@link sample} may use besides. */
export interface SampleContext {
  /** Where random numbers come from. Default: the default generator. */
  readonly generator?: Generator | undefined;
  /** Tokens that came before, `[batch, count]` i32; the repetition penalty is for them. */
  readonly seen?: Tensor | undefined;
}

/**
 * Chooses a token for each row of scores.
 *
 * The filters are applied in the order penalty, temperature, top-k, top-p, min-p; tokens that are exactly as likely as
 * the last one that a filter keeps are kept too.
 *
 * Shapes: `logits` `[batch, vocabulary]`, the result `[batch]`. Dtypes: floats; the result is i32.
 *
 * @throws ConfigError if an option is out of its range.
 * @example
 * ```ts
 * await sample(tensor([[0, 9, 1]]), { temperature: 0 }).array(); // [1]
 * ```
 * @see Holtzman et al., 2020, arXiv:1904.09751, top-p; Nguyen et al., 2024, arXiv:2407.01082, min-p; Keskar et al., 2019,
 * arXiv:1909.05858, repetition penalty
 */
export function sample(logits: Tensor, options: SamplingOptions & SampleContext = {}): Tensor {
  checkSampling(options);
  const { temperature = 1, topK, topP, minP, repetitionPenalty = 1, seen, generator } = options;
  let scores: Tensor = logits.to("f32");
  if (repetitionPenalty !== 1 && seen !== undefined) scores = penalize(scores, seen, repetitionPenalty);
  if (Math.fround(temperature) === 0) return argmax(scores, { axis: -1 });
  // The best score becomes 0, so that a low temperature cannot overflow.
  scores = scores.sub(scores.max({ axis: -1, keepDims: true })).div(temperature);
  const vocabulary = scores.shape.at(-1)!;
  if (topK !== undefined && topK < vocabulary) {
    const { values } = scores.topk(topK);
    scores = keepWhere(scores, scores.ge(values.at(":", "-1:") as Tensor));
  }
  if (topP !== undefined && topP < 1) scores = keepWhere(scores, scores.ge(nucleusFloor(scores, topP)));
  const probabilities = softmax(scores);
  const floor = minP === undefined ? undefined : probabilities.max({ axis: -1, keepDims: true }).mul(minP);
  const final = floor === undefined ? probabilities : where(probabilities.ge(floor), probabilities, 0);
  return multinomial(final, 1, { generator, replacement: true }).reshape([logits.shape[0]!]);
}

/** @throws ConfigError naming the option that is out of its range. @internal */
export function checkSampling({
  temperature = 1,
  topK,
  topP,
  minP,
  repetitionPenalty = 1,
}: SamplingOptions): void {
  const check = (name: string, isRight: boolean, rule: string, value: unknown): void => {
    if (!isRight) throw new ConfigError(`${name} must be ${rule}, got ${value}`);
  };
  check("temperature", Number.isFinite(temperature) && temperature >= 0, "0 or more", temperature);
  check("topK", topK === undefined || (Number.isInteger(topK) && topK >= 1), "a whole number above 0", topK);
  check("topP", topP === undefined || (topP > 0 && topP <= 1), "in (0, 1]", topP);
  check("minP", minP === undefined || (minP >= 0 && minP <= 1), "in [0, 1]", minP);
  const isPenalty = Number.isFinite(repetitionPenalty) && repetitionPenalty > 0;
  check("repetitionPenalty", isPenalty, "above 0", repetitionPenalty);
}

const keepWhere = (scores: Tensor, condition: Tensor): Tensor =>
  where(condition, scores, Number.NEGATIVE_INFINITY);

/** The score of the last token that the nucleus of mass `topP` needs, `[batch, 1]`. */
function nucleusFloor(scores: Tensor, topP: number): Tensor {
  const { values } = sort(scores, { axis: -1, descending: true });
  const probabilities = softmax(values);
  // A token belongs if the ones before it do not fill the mass yet; the first always does.
  const before = probabilities.cumsum({ axis: -1 }).sub(probabilities);
  const inside = where(before.lt(topP), values, Number.POSITIVE_INFINITY);
  return inside.min({ axis: -1, keepDims: true });
}

function penalize(scores: Tensor, seen: Tensor, penalty: number): Tensor {
  const old = scores.takeAlongAxis(seen, { axis: -1 });
  const changed = where(old.gt(0), old.div(penalty), old.mul(penalty));
  return scores.scatter(seen, changed, { axis: -1 });
}
