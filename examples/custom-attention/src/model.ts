import { Embedding, Linear, linearCrossEntropyLoss, Module, RMSNorm } from "@openelm/nn";
import type { Tensor } from "@openelm/tensor";
import { squaredRelu } from "./squared-relu.js";
import { WindowAttention, type WindowAttentionOptions } from "./window-attention.js";

/** A layer of one's own: window attention, then a feed-forward part with an activation of one's own. */
class Layer extends Module {
  readonly attnNorm: RMSNorm;
  readonly attn: WindowAttention;
  readonly ffnNorm: RMSNorm;
  readonly up: Linear;
  readonly down: Linear;

  constructor(options: WindowAttentionOptions) {
    super();
    const { dim } = options;
    this.attnNorm = new RMSNorm(dim);
    this.attn = new WindowAttention(options);
    this.ffnNorm = new RMSNorm(dim);
    this.up = new Linear(dim, 2 * dim);
    this.down = new Linear(2 * dim, dim);
  }

  forward(x: Tensor): Tensor {
    const h = x.add(this.attn.forward(this.attnNorm.forward(x)));
    return h.add(this.down.forward(squaredRelu(this.up.forward(this.ffnNorm.forward(h)))));
  }
}

/** A language model whose layers see `window` tokens. */
export class WindowLM extends Module {
  readonly embedding: Embedding;
  readonly layers: readonly Layer[];
  readonly norm: RMSNorm;

  constructor(vocabSize: number, layers: number, options: WindowAttentionOptions) {
    super();
    this.embedding = new Embedding(vocabSize, options.dim);
    this.layers = Array.from({ length: layers }, () => new Layer(options));
    this.norm = new RMSNorm(options.dim);
  }

  /** Cross-entropy in nats per token; targets of −100 count for nothing. */
  loss(ids: Tensor, targets: Tensor, counted: number): Tensor {
    let x = this.embedding.forward(ids);
    for (const layer of this.layers) x = layer.forward(x);
    const flat = this.norm.forward(x).reshape([-1, x.shape[2]!]);
    return linearCrossEntropyLoss(flat, this.embedding.weight.value, targets.reshape([-1]), counted).loss;
  }
}
