import { embedding, type IndexOperand, type Tensor } from "@openelm/tensor";
import { linear, type Product } from "../functional/linear.js";
import { type Init, normal } from "../init.js";
import { Module } from "../module.js";
import { Parameter } from "../parameter.js";

/** Options of {@link Embedding}. */
export interface EmbeddingOptions {
  /** Number of a row whose look-up gets no gradient. Default: none. */
  readonly paddingIndex?: number | undefined;
  /** Initial rows. Default: normal with variance `1 / dim`. */
  readonly init?: Init;
}

/**
 * A table of vectors, looked up by number.
 *
 * Shapes: ids `[...]` (i32), output `[..., dim]`, `weight` `[count, dim]`.
 *
 * @example
 * ```ts
 * new Embedding(100, 8).forward([3, 1, 4]).shape; // [3, 8]
 * ```
 */
export class Embedding extends Module {
  readonly weight: Parameter;
  readonly paddingIndex: number | undefined;

  /**
   * @param count - How many vectors there are.
   * @param dim - Their size.
   */
  constructor(count: number, dim: number, { paddingIndex, init }: EmbeddingOptions = {}) {
    super();
    this.weight = new Parameter({ shape: [count, dim], init: init ?? normal({ std: dim ** -0.5 }) });
    this.paddingIndex = paddingIndex;
  }

  /** The vectors of `ids`; an id that is out of range makes reads of the result fail. */
  forward(ids: IndexOperand): Tensor {
    return embedding(this.weight.value, ids, { paddingIndex: this.paddingIndex });
  }

  /** Scores of every row for each vector: `x · Wᵀ`, the output layer of a model with tied weights. */
  attend(x: Tensor): Tensor {
    return linear(x, this.weight.value);
  }
  /** What {@link attend} gives, as a product yet to be made. */
  product(x: Tensor): Product {
    return { features: x, weight: this.weight.value };
  }
}
