//! How many guesses a model takes, and which token follows them.
import { concat, maximum, type Tensor, where, zerosLike } from "@openelm/tensor";
import type { Chooser, Chosen } from "../../sampling/chooser.js";
import { pick } from "../../sampling/filters.js";

/** What a check gives, on the device. */
export interface Verdict {
  /**
   * `[count + 1]`: the first `accepted` are guesses, and the next is the model's own token; the rest means nothing.
   */
  readonly chosen: Chosen;
  /** How many guesses are taken, `[1]` i32. */
  readonly accepted: Tensor;
}

/** A draft on its way through the model. */
export interface Check {
  /** After each token of the text and the draft, `[count + 1, vocabulary]` f32. */
  readonly logits: Tensor;
  /** `[count]` i32. */
  readonly drafts: Tensor;
  /** What the guesses were drawn by, `[count, vocabulary]` f32; absent where they were certain. */
  readonly probabilities?: Tensor | undefined;
  /** `[2 · count + 1]` f32 in [0, 1): whether guesses are taken, then the draws; absent where the choice is greedy. */
  readonly uniform?: Tensor | undefined;
}

/**
 * Takes guesses so that the text has the distribution of the model's own.
 *
 * A guess x of q is taken with probability min(1, p(x) / q(x)), the first that is not is replaced by a draw from
 * max(p − q, 0), normed, and after the last one comes a draw from p. Greedy: guesses are taken as long as they are the
 * model's best token.
 *
 * @see Leviathan et al., 2023, arXiv:2211.17192, appendix A.1 for the proof; Chen et al., 2023, arXiv:2302.01318
 */
export function verify(chooser: Chooser, check: Check): Verdict {
  const { logits, drafts, uniform } = check;
  const count = drafts.size;
  const scores = chooser.scores(logits, { drafts });
  const { own, taken } =
    uniform === undefined ? greedy(chooser, scores, drafts) : drawn(chooser, scores, { ...check, uniform });
  // The guesses before the first that is not taken.
  const accepted = taken.logicalNot().cumsum().eq(0).sum().to("i32").reshape([1]);
  const ids = concat([where(taken, drafts, own.at(`:${count}`) as Tensor), own.at(`${count}:`) as Tensor]);
  return { chosen: { ids, ...chooser.told(logits, ids) }, accepted };
}

interface Decision {
  /** The model's own token after each position, if the guess there is not taken, `[count + 1]` i32. */
  readonly own: Tensor;
  /** Which guesses would be taken, `[count]` bool. */
  readonly taken: Tensor;
}

function greedy(chooser: Chooser, scores: Tensor, drafts: Tensor): Decision {
  const own = chooser.draw(scores);
  return { own, taken: own.at(`:${drafts.size}`).eq(drafts) as Tensor };
}

function drawn(
  chooser: Chooser,
  scores: Tensor,
  { drafts, probabilities: q, uniform }: Check & { readonly uniform: Tensor },
): Decision {
  const count = drafts.size;
  const all = chooser.probabilities(scores);
  const p = all.at(`:${count}`) as Tensor;
  const index = drafts.reshape([count, 1]);
  const of = (table: Tensor): Tensor => table.takeAlongAxis(index, { axis: -1 }).reshape([count]);
  const threshold = uniform.at(`:${count}`) as Tensor;
  const taken = (q === undefined ? threshold : threshold.mul(of(q))).lt(of(p));
  const left =
    q === undefined
      ? p.scatter(index, zerosLike(index, { dtype: "f32" }), { axis: -1 })
      : maximum(p.sub(q), 0);
  // Where p = q but for roundings nothing is left, and nothing is refused either but by a rounding.
  const rest = where(left.sum({ axis: -1, keepDims: true }).gt(0), left, p);
  const own = pick(concat([rest, all.at(`${count}:`) as Tensor]), uniform.at(`${count}:`) as Tensor);
  return { own, taken };
}
