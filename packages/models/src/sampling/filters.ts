//! Which tokens may be drawn, and how likely each is.
import { argmax, softmax, sort, type Tensor, where } from "@openelm/tensor";
import type { SamplingOptions } from "./options.js";

/** Whether the best token is taken always. A temperature that f32 rounds to 0 would divide by it. */
export const isGreedy = ({ temperature = 1 }: SamplingOptions): boolean => Math.fround(temperature) === 0;

/**
 * Probabilities of the tokens that temperature, top-k, top-p and min-p leave, in that order; they sum to at most 1. Tokens
 * that are exactly as likely as the last one that a filter keeps are kept too.
 *
 * Shapes: `scores` and the result are `[rows, vocabulary]`. Dtypes: f32.
 */
export function filtered(scores: Tensor, { temperature = 1, topK, topP, minP }: SamplingOptions): Tensor {
  // The best score becomes 0, so that a low temperature cannot overflow.
  let left: Tensor = scores.sub(scores.max({ axis: -1, keepDims: true })).div(temperature);
  if (topK !== undefined && topK < scores.shape.at(-1)!) {
    const { values } = left.topk(topK);
    left = keepWhere(left, left.ge(values.at(":", "-1:") as Tensor));
  }
  if (topP !== undefined && topP < 1) left = keepWhere(left, left.ge(nucleusFloor(left, topP)));
  const probabilities = softmax(left);
  if (minP === undefined) return probabilities;
  const floor = probabilities.max({ axis: -1, keepDims: true }).mul(minP);
  return where(probabilities.ge(floor), probabilities, 0);
}

const keepWhere = (scores: Tensor, condition: Tensor): Tensor =>
  where(condition, scores, Number.NEGATIVE_INFINITY);

/** The score of the last token that the nucleus of mass `topP` needs, `[rows, 1]`. */
function nucleusFloor(scores: Tensor, topP: number): Tensor {
  const { values } = sort(scores, { axis: -1, descending: true });
  const probabilities = softmax(values);
  // A token belongs if the ones before it do not fill the mass yet; the first always does.
  const before = probabilities.cumsum({ axis: -1 }).sub(probabilities);
  const inside = where(before.lt(topP), values, Number.POSITIVE_INFINITY);
  return inside.min({ axis: -1, keepDims: true });
}

/** The largest number below 1 whose product with any sum is below that sum. */
const BELOW_ONE = 1 - 2 ** -23;

/**
 * A token of each row, by inverting the running sum of its probabilities at `uniform`.
 *
 * The numbers come from outside, so that a recorded step can draw too. A row whose sum is no finite number gives −1.
 *
 * Shapes: `probabilities` `[rows, vocabulary]`, `uniform` `[rows]`, the result `[rows]`. Dtypes: f32; the result is i32.
 */
export function pick(probabilities: Tensor, uniform: Tensor): Tensor {
  // Sums in pieces need not grow from one token to the next, so tokens that cannot be drawn are taken out of them.
  const running = where(probabilities.gt(0), probabilities.cumsum({ axis: -1 }), 0);
  const total = running.max({ axis: -1, keepDims: true });
  const target = total.mul(uniform.clamp({ max: BELOW_ONE }).reshape([-1, 1]));
  const drawn = argmax(running.gt(target), { axis: -1 });
  const sum = probabilities.sum({ axis: -1 });
  return where(sum.isfinite(), drawn, -1);
}

/** The best token of each row, or −1 where the best score is no finite number. */
export function best(scores: Tensor): Tensor {
  const ids = argmax(scores, { axis: -1 });
  return where(scores.max({ axis: -1 }).isfinite(), ids, -1);
}
