//! Which token comes next.
import { argmax, type Generator, multinomial, softmax, sort, type Tensor, where } from "@openelm/tensor";

/** How the next token is chosen from the scores. */
export interface SamplingOptions {
  /** Divides the scores; 0 takes the best token always. Default 1. */
  readonly temperature?: number;
  /** Only the `topK` best tokens. */
  readonly topK?: number;
  /** Only the fewest tokens whose probabilities sum to `topP`. */
  readonly topP?: number;
  /** Only tokens at least `minP` times as likely as the best. */
  readonly minP?: number;
  /** Divides positive scores of tokens that came before, and multiplies negative ones. Default 1. */
  readonly repetitionPenalty?: number;
}

/**
 * Chooses a token for each row of `logits` `[batch, vocabulary]`; gives ids `[batch]`.
 *
 * The filters are applied in the order penalty, temperature, top-k, top-p, min-p. `seen` holds the tokens that came
 * before, `[batch, count]`.
 */
export function sample(
  logits: Tensor,
  seen: Tensor,
  generator: Generator,
  options: SamplingOptions = {},
): Tensor {
  const { temperature = 1, topK, topP, minP, repetitionPenalty = 1 } = options;
  let scores: Tensor = logits.to("f32");
  if (repetitionPenalty !== 1) scores = penalize(scores, seen, repetitionPenalty);
  if (temperature === 0) return argmax(scores, { axis: -1 });
  scores = scores.div(temperature);
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
