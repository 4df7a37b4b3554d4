//! Which token comes next.
import { type Generator, type Tensor, uniform } from "@openelm/tensor";
import { best, filtered, isGreedy, pick } from "./filters.js";
import { checkSampling, type SamplingOptions } from "./options.js";
import { Penalties } from "./penalties.js";

/** What {@link sample} may use besides. */
export interface SampleContext {
  /** Where random numbers come from. Default: the default generator. */
  readonly generator?: Generator | undefined;
  /** Tokens that came before, `[batch, count]` i32; the penalties are for them, each as often as it occurs. */
  readonly seen?: Tensor | undefined;
}

/**
 * Chooses a token for each row of scores.
 *
 * Order: repetition penalty, frequency and presence penalties, bias, temperature, top-k, top-p, min-p; tokens that are
 * exactly as likely as the last one that a filter keeps are kept too. A row without a finite best score gives −1.
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
  const [rows, vocabulary] = logits.shape as [number, number];
  const { seen, generator } = options;
  using penalties = new Penalties(options, { rows, vocabulary, device: logits.device });
  if (seen !== undefined) {
    penalties.see(seen);
    penalties.count(seen);
  }
  const scores = penalties.apply(logits.to("f32"));
  if (isGreedy(options)) return best(scores);
  const draws = uniform([rows], { generator, dtype: "f32", device: logits.device });
  return pick(filtered(scores, options), draws);
}
