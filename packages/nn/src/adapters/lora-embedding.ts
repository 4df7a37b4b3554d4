import type { IndexOperand, Tensor } from "@openelm/tensor";
import { Embedding } from "../layers/embedding.js";
import { QuantizedEmbedding } from "../layers/quantized-embedding.js";
import type { Buffer, Parameter } from "../parameter.js";
import type { LowRankRows } from "./low-rank.js";

/** An embedding with a low-rank adapter for its look-ups. As an output layer it is what it was. */
export class LoRAEmbedding extends Embedding {
  override readonly weight: Parameter;
  readonly lora: LowRankRows;

  constructor(base: Embedding, lora: LowRankRows) {
    const [count, dim] = base.weight.shape as [number, number];
    super(count, dim, { paddingIndex: base.paddingIndex });
    this.weight = base.weight;
    this.lora = lora;
  }

  override forward(ids: IndexOperand): Tensor {
    return this.lora.adapt(ids, super.forward(ids));
  }

  /** A plain embedding that looks up the same, with a table of its own. */
  merged(): Embedding {
    return plainEmbedding(this.lora.merged(this.weight.value).to(this.weight.dtype), this.paddingIndex);
  }
}

/** A quantized embedding with a low-rank adapter for its look-ups. */
export class LoRAQuantizedEmbedding extends QuantizedEmbedding {
  override readonly weight: Buffer;
  override readonly scales: Buffer;
  override readonly biases: Buffer;
  readonly lora: LowRankRows;

  constructor(base: QuantizedEmbedding, lora: LowRankRows) {
    const { bits, group, dtype, paddingIndex } = base;
    const [count, dim] = base.matrix.shape as [number, number];
    super(count, dim, { bits, group, dtype, paddingIndex });
    this.weight = base.weight;
    this.scales = base.scales;
    this.biases = base.biases;
    this.lora = lora;
  }

  override forward(ids: IndexOperand): Tensor {
    return this.lora.adapt(ids, super.forward(ids));
  }

  /** An embedding in full precision that looks up the same, up to rounding to its dtype. */
  merged(): Embedding {
    const dtype = this.dtype ?? this.scales.dtype;
    return plainEmbedding(this.lora.merged(this.matrix.dequantize()).to(dtype), this.paddingIndex);
  }
}

function plainEmbedding(table: Tensor, paddingIndex: number | undefined): Embedding {
  const [count, dim] = table.shape as [number, number];
  const made = new Embedding(count, dim, { paddingIndex });
  made.weight.value = table;
  return made;
}
