import { dropout, type Generator, type Tensor, UsageError } from "@openelm/tensor";
import { Module } from "../module.js";

/**
 * Sets elements to zero at random while training, and scales the others to keep the mean.
 *
 * `y = x · keep / (1 − p)`, with `keep` 0 with probability `p` and 1 otherwise; in `eval()` mode `y = x`.
 *
 * @example
 * ```ts
 * new Dropout(0.1).eval().forward(x) === x; // true
 * ```
 * @see Srivastava et al., 2014, "Dropout: A Simple Way to Prevent Neural Networks from Overfitting"
 */
export class Dropout extends Module {
  readonly p: number;

  /** @param p - Share of the elements that are set to zero, in `[0, 1)`. */
  constructor(p = 0.5) {
    super();
    if (!(p >= 0 && p < 1)) throw new UsageError(`Dropout: p must be in [0, 1), got ${p}`);
    this.p = p;
  }

  forward(x: Tensor, { generator }: { readonly generator?: Generator } = {}): Tensor {
    if (!this.training || this.p === 0) return x;
    return dropout(x, generator === undefined ? { p: this.p } : { p: this.p, generator });
  }
}
