import {
  type DType,
  type IndexOperand,
  intercept,
  type QuantizationOptions,
  QuantizedTensor,
  type Tensor,
} from "@openelm/tensor";
import type { Product } from "../functional/linear.js";
import { Module } from "../module.js";
import type { Buffer } from "../parameter.js";
import type { Embedding } from "./embedding.js";
import {
  type QuantizedBuffers,
  quantizedBuffers,
  quantizedTensor,
  takeQuantized,
} from "./quantized-weight.js";

/** Options of {@link QuantizedEmbedding}. */
export interface QuantizedEmbeddingOptions extends QuantizationOptions {
  /** Dtype of the vectors that are looked up. Default: that of the scales. */
  readonly dtype?: DType | undefined;
  /** As the embedding had it; nothing is trained here. */
  readonly paddingIndex?: number | undefined;
}

/**
 * A table of vectors in codes of a few bits, looked up by number.
 *
 * Shapes: ids `[...]` (i32), output `[..., dim]`, `weight` `[count, dim · bits / 32]` (u32), `scales` and `biases`
 * `[count, dim / group]`.
 *
 * @example
 * ```ts
 * QuantizedEmbedding.from(new Embedding(100, 64)).forward([3, 1, 4]).shape; // [3, 64]
 * ```
 */
export class QuantizedEmbedding extends Module implements QuantizedBuffers {
  readonly weight: Buffer;
  readonly scales: Buffer;
  readonly biases: Buffer;
  readonly bits: number;
  readonly group: number;
  readonly dtype: DType | undefined;
  readonly paddingIndex: number | undefined;

  /**
   * A table whose values will be loaded; until then it is 0.
   *
   * @throws UsageError if `dim` is not a multiple of `group`.
   */
  constructor(
    count: number,
    dim: number,
    { dtype, paddingIndex, ...options }: QuantizedEmbeddingOptions = {},
  ) {
    super();
    const buffers = quantizedBuffers("QuantizedEmbedding", [count, dim], options);
    this.weight = buffers.weight;
    this.scales = buffers.scales;
    this.biases = buffers.biases;
    this.bits = buffers.bits;
    this.group = buffers.group;
    this.dtype = dtype;
    this.paddingIndex = paddingIndex;
  }

  /** The same table with its vectors rounded; what is looked up keeps the dtype of `layer`. */
  static from(layer: Embedding, options: QuantizationOptions = {}): QuantizedEmbedding {
    const { weight, paddingIndex } = layer;
    const dtype = options.scaleDtype === undefined ? undefined : weight.dtype;
    const codes = intercept(null, () => QuantizedTensor.from(weight.value, options));
    return QuantizedEmbedding.of(codes, { paddingIndex, dtype });
  }

  /** The table `[count, dim]` of these codes, which it takes over. */
  static of(
    codes: QuantizedTensor,
    options: Pick<QuantizedEmbeddingOptions, "dtype" | "paddingIndex"> = {},
  ): QuantizedEmbedding {
    const [count, dim] = codes.shape as [number, number];
    const { bits, group } = codes;
    const quantized = new QuantizedEmbedding(count, dim, { ...options, bits, group });
    takeQuantized(quantized, codes);
    return quantized;
  }

  /** The table as one matrix `[count, dim]` in codes. */
  get matrix(): QuantizedTensor {
    return quantizedTensor(this);
  }

  /** The vectors of `ids`; an id that is out of range makes reads of the result fail. */
  forward(ids: IndexOperand): Tensor {
    return this.matrix.rows(ids, { dtype: this.dtype });
  }

  /** Scores of every row for each vector: `x · Wᵀ`, the output layer of a model with tied weights. */
  attend(x: Tensor): Tensor {
    return this.matrix.multiply(x);
  }
  /** What {@link attend} gives, as a product yet to be made. */
  product(x: Tensor): Product {
    return { features: x, weight: this.matrix.dequantize({ dtype: x.dtype }) };
  }
}
