//! The trained parts of low-rank adapters: what they add to a layer, and how far.
import { inference } from "@openelm/autograd";
import {
  concat,
  type DeviceLike,
  type DType,
  embedding,
  type IndexOperand,
  norm,
  type Tensor,
  transpose,
} from "@openelm/tensor";
import { linear, type Product } from "../functional/linear.js";
import { kaimingUniform, normal, zeros } from "../init.js";
import { Dropout } from "../layers/dropout.js";
import { Module } from "../module.js";
import { Parameter } from "../parameter.js";

/** Options of {@link LowRank} and {@link LowRankRows}. */
export interface LowRankOptions {
  readonly rank: number;
  /** What the added product is multiplied by. */
  readonly scaling: number;
  readonly dtype?: DType | undefined;
  readonly device?: DeviceLike | undefined;
}

/**
 * What is added to a linear layer: `s · B A drop(x)`; with a magnitude `m`, each output of the sum is scaled to
 * `m / ‖W + s · B A‖`, the norm being a constant for gradients.
 *
 * Shapes: `a` `[rank, inputs]`, `b` `[outputs, rank]`, `magnitude` `[outputs]`. `B` is 0 at first, so nothing is added.
 */
export class LowRank extends Module {
  readonly a: Parameter;
  readonly b: Parameter;
  /** Trained norms of the weights' rows (DoRA). */
  readonly magnitude: Parameter | undefined;
  readonly dropout: Dropout;
  readonly scaling: number;

  /** @param magnitude - The norms of the layer's rows as they are. */
  constructor(
    inputs: number,
    outputs: number,
    {
      rank,
      scaling,
      dropout = 0,
      magnitude,
      ...place
    }: LowRankOptions & { readonly dropout?: number; readonly magnitude?: (() => Tensor) | undefined },
  ) {
    super();
    // As `nn.Linear` of PyTorch begins, uniform in ±1/√inputs.
    const init = kaimingUniform({ slope: Math.sqrt(5) });
    this.a = new Parameter({ shape: [rank, inputs], init, ...place });
    this.b = new Parameter({ shape: [outputs, rank], init: zeros, ...place });
    this.magnitude =
      magnitude &&
      new Parameter({ shape: [outputs], init: (_, { dtype }) => magnitude().to(dtype), ...place });
    this.dropout = new Dropout(dropout);
    this.scaling = scaling;
  }

  /** What is left of `y = W x` with all that is added; `weight` gives `W`. */
  adapt(x: Tensor, y: Tensor, weight: () => Tensor): Tensor {
    const sum = y.add(linear(this.#inner(x), this.b.value).to(y.dtype));
    const scale = this.#scale(weight);
    return scale === undefined ? sum : sum.mul(scale.to(y.dtype));
  }

  /** The same with nothing multiplied yet: `[x, s · A drop(x)] · [W, B]ᵀ`. */
  product(x: Tensor, weight: () => Tensor): Product {
    const w = weight();
    const features = concat([x, this.#inner(x).to(x.dtype)], { axis: -1 });
    const both = concat([w, this.b.value.to(w.dtype)], { axis: 1 });
    const scale = this.#scale(weight);
    return { features, weight: scale === undefined ? both : both.mul(scale.to(w.dtype).reshape([-1, 1])) };
  }

  /** The weights that do the same: `W + s · B A`, with their rows scaled where there is a magnitude. In f32. */
  merged(weight: Tensor): Tensor {
    const sum = this.#sum(weight);
    return this.magnitude === undefined
      ? sum
      : sum.mul(
          this.#scale(() => weight)!
            .to("f32")
            .reshape([-1, 1]),
        );
  }

  #inner(x: Tensor): Tensor {
    return linear(this.dropout.forward(x).to(this.a.dtype), this.a.value).mul(this.scaling);
  }

  #sum(weight: Tensor): Tensor {
    const added = this.b.value.to("f32").matmul(this.a.value.to("f32"));
    return weight.to("f32").add(added.mul(this.scaling));
  }

  #scale(weight: () => Tensor): Tensor | undefined {
    if (this.magnitude === undefined) return undefined;
    const length = inference(() => rowNorms(this.#sum(weight())));
    return this.magnitude.value.to("f32").div(length);
  }
}

/**
 * What is added to the rows of an embedding: `s · B Aᵢ` for row `i`.
 *
 * Shapes: `a` `[count, rank]`, `b` `[dim, rank]`. `A` is 0 at first, so nothing is added.
 */
export class LowRankRows extends Module {
  readonly a: Parameter;
  readonly b: Parameter;
  readonly scaling: number;
  readonly #paddingIndex: number | undefined;

  constructor(
    count: number,
    dim: number,
    {
      rank,
      scaling,
      paddingIndex,
      ...place
    }: LowRankOptions & { readonly paddingIndex?: number | undefined },
  ) {
    super();
    this.a = new Parameter({ shape: [count, rank], init: zeros, ...place });
    this.b = new Parameter({ shape: [dim, rank], init: normal(), ...place });
    this.scaling = scaling;
    this.#paddingIndex = paddingIndex;
  }

  /** The rows `y` of `ids` with what is added. */
  adapt(ids: IndexOperand, y: Tensor): Tensor {
    const inner = embedding(this.a.value, ids, { paddingIndex: this.#paddingIndex });
    return y.add(linear(inner.mul(this.scaling), this.b.value).to(y.dtype));
  }

  /** The table that does the same: `E + s · A Bᵀ`. In f32. */
  merged(table: Tensor): Tensor {
    const added = this.a.value.to("f32").matmul(transpose(this.b.value.to("f32")));
    return table.to("f32").add(added.mul(this.scaling));
  }
}

/** Euclidean norms of the rows of a matrix, in f32. */
export const rowNorms = (weight: Tensor): Tensor => norm(weight.to("f32"), { axis: -1 });
