// Shape suffixes: B batch, T time, D model width, H heads, K head width, W window.
import { init, Linear, Module, Parameter } from "@openelm/nn";
import { arange, softmax, type Tensor, where } from "@openelm/tensor";

export interface WindowAttentionOptions {
  readonly dim: number;
  readonly heads: number;
  /** Positions that one can see, itself included. */
  readonly window: number;
}

/**
 * Causal self-attention over a sliding window, with a learned bias for each distance and no rotary positions.
 *
 * `y_i = Σ_j softmax_j(q_i · k_j / √K + b[i − j]) v_j` over `0 ≤ i − j < window`.
 *
 * Shapes: input and output `[batch, time, dim]`.
 */
export class WindowAttention extends Module {
  readonly qkv: Linear;
  readonly out: Linear;
  /** `[heads, window]`. */
  readonly distanceBias: Parameter;
  readonly heads: number;
  readonly window: number;

  constructor({ dim, heads, window }: WindowAttentionOptions) {
    super();
    this.qkv = new Linear(dim, 3 * dim);
    this.out = new Linear(dim, dim);
    this.distanceBias = new Parameter({ shape: [heads, window], init: init.zeros });
    this.heads = heads;
    this.window = window;
  }

  forward(xBTD: Tensor): Tensor {
    const [batch, time, dim] = xBTD.shape as [number, number, number];
    const qkv = this.qkv
      .forward(xBTD)
      .reshape([batch, time, 3, this.heads, dim / this.heads])
      .permute([2, 0, 3, 1, 4]);
    const [qBHTK, kBHTK, vBHTK] = qkv.unbind(0) as [Tensor, Tensor, Tensor];
    const scores = qBHTK.matmul(kBHTK.permute([0, 1, 3, 2])).mul((dim / this.heads) ** -0.5);
    const positions = arange(time, { dtype: "i32" });
    const distances = positions.expandDims(1).sub(positions);
    const visible = distances.ge(0).logicalAnd(distances.lt(this.window));
    const biasHTT = this.distanceBias.value.take(distances.clamp({ min: 0, max: this.window - 1 }), {
      axis: 1,
    });
    const weights = softmax(where(visible, scores.add(biasHTT), Number.NEGATIVE_INFINITY));
    const y = weights.matmul(vBHTK).permute([0, 2, 1, 3]).reshape([batch, time, dim]);
    return this.out.forward(y);
  }
}
