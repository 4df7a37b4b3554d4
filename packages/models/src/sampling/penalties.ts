//! What changes scores because of the tokens before: a state on the device, so that a recorded step can keep it up.
import { ConfigError } from "@openelm/native";
import {
  broadcastTo,
  type Device,
  full,
  keep,
  logicalOr,
  type Tensor,
  tensor,
  tril,
  where,
  zeros,
} from "@openelm/tensor";
import { biases, type SamplingOptions } from "./options.js";

/** What the scores are of. */
export interface PenaltySizes {
  /** Sequences side by side. */
  readonly rows: number;
  readonly vocabulary: number;
  readonly device: Device;
}

/** Penalties and bias of one generation, and the tokens that they are for. */
export class Penalties {
  readonly #repetition: number;
  readonly #presence: number;
  readonly #frequency: number;
  /** Tokens of prompt and text, `[rows, vocabulary]` bool. */
  readonly #seen: Tensor | undefined;
  /** How often each token was made, `[rows, vocabulary]` f32. */
  readonly #made: Tensor | undefined;
  /** `[vocabulary]` f32. */
  readonly #bias: Tensor | undefined;

  /** @throws ConfigError if a bias is for a token that the vocabulary has not. */
  constructor(options: SamplingOptions, { rows, vocabulary, device }: PenaltySizes) {
    const { repetitionPenalty = 1, presencePenalty = 0, frequencyPenalty = 0 } = options;
    this.#repetition = repetitionPenalty;
    this.#presence = presencePenalty;
    this.#frequency = frequencyPenalty;
    const shape = [rows, vocabulary];
    if (repetitionPenalty !== 1) this.#seen = keep(zeros(shape, { dtype: "bool", device }));
    if (presencePenalty !== 0 || frequencyPenalty !== 0)
      this.#made = keep(zeros(shape, { dtype: "f32", device }));
    const own = biases(options.logitBias);
    if (own.length > 0) this.#bias = biasTensor(own, vocabulary, device);
  }

  /** Forgets all tokens. */
  restart(): void {
    this.#seen?.setAt([":"], false);
    this.#made?.setAt([":"], 0);
  }

  /** Notes tokens of the text, `[rows, count]` i32, each as often as it occurs; the prompt's with `see` alone. */
  count(ids: Tensor): void {
    if (this.#made === undefined) return;
    const ones = full(ids.shape, 1, { dtype: "f32", device: ids.device });
    this.#made.setAt([":"], this.#made.scatterAdd(ids, ones, { axis: -1 }));
  }

  /** Notes tokens that the repetition penalty is for, `[rows, count]` i32. */
  see(ids: Tensor): void {
    if (this.#seen === undefined) return;
    const yes = full(ids.shape, true, { dtype: "bool", device: ids.device });
    this.#seen.setAt([":"], this.#seen.scatter(ids, yes, { axis: -1 }));
  }

  /**
   * The changed scores, `[rows, vocabulary]` f32.
   *
   * @param drafts - `[count]` i32, where the rows are positions of one sequence: row `i` comes after its first `i`.
   */
  apply(scores: Tensor, drafts?: Tensor): Tensor {
    let out = scores;
    const after = drafts === undefined ? undefined : draftCounts(drafts, scores.shape.at(-1)!);
    if (this.#seen !== undefined) {
      const seen = after === undefined ? this.#seen : logicalOr(this.#seen, after.gt(0));
      const changed = where(out.gt(0), out.div(this.#repetition), out.mul(this.#repetition));
      out = where(seen, changed, out);
    }
    if (this.#made !== undefined) {
      const made = after === undefined ? this.#made : this.#made.add(after);
      if (this.#frequency !== 0) out = out.sub(made.mul(this.#frequency));
      if (this.#presence !== 0) out = out.sub(made.gt(0).to("f32").mul(this.#presence));
    }
    return this.#bias === undefined ? out : out.add(this.#bias);
  }

  [Symbol.dispose](): void {
    for (const tensor of [this.#seen, this.#made, this.#bias]) tensor?.dispose();
  }
}

/** How often each token is among the first `i` drafts, `[count + 1, vocabulary]` f32. */
function draftCounts(drafts: Tensor, vocabulary: number): Tensor {
  const { device, size: count } = drafts;
  const rows = count + 1;
  const before = tril(full([rows, count], 1, { dtype: "f32", device }), { diagonal: -1 });
  const ids = broadcastTo(drafts.reshape([1, count]), [rows, count]);
  return zeros([rows, vocabulary], { dtype: "f32", device }).scatterAdd(ids, before, { axis: -1 });
}

function biasTensor(own: readonly (readonly [number, number])[], vocabulary: number, device: Device): Tensor {
  const values = new Float32Array(vocabulary);
  for (const [id, bias] of own) {
    if (id >= vocabulary) {
      throw new ConfigError(`logitBias names token ${id}, but the vocabulary ends at ${vocabulary - 1}`);
    }
    values[id] = bias;
  }
  return keep(tensor(values, { device }));
}
