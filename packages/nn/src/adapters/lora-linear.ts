import type { Tensor } from "@openelm/tensor";
import { linear, type Product } from "../functional/linear.js";
import { Linear } from "../layers/linear.js";
import { QuantizedLinear } from "../layers/quantized-linear.js";
import type { Buffer, Parameter } from "../parameter.js";
import type { LowRank } from "./low-rank.js";

/** A linear layer with a low-rank adapter beside its weights, which it shares with the layer that it was made from. */
export class LoRALinear extends Linear {
  override readonly weight: Parameter;
  override readonly bias: Parameter | undefined;
  readonly lora: LowRank;

  constructor(base: Linear, lora: LowRank) {
    const [outputs, inputs] = base.weight.shape as [number, number];
    super(inputs, outputs);
    this.weight = base.weight;
    this.bias = base.bias;
    this.lora = lora;
  }

  override forward(x: Tensor): Tensor {
    const y = this.lora.adapt(x, linear(x, this.weight.value), () => this.weight.value);
    return this.bias === undefined ? y : y.add(this.bias.value);
  }

  override product(x: Tensor): Product {
    return this.lora.product(x, () => this.weight.value);
  }

  /** A plain layer that does the same, with weights of its own. */
  merged(): Linear {
    return plainLinear(this.lora.merged(this.weight.value).to(this.weight.dtype), this.bias);
  }
}

/** A quantized linear layer with a low-rank adapter beside its codes. */
export class LoRAQuantizedLinear extends QuantizedLinear {
  override readonly weight: Buffer;
  override readonly scales: Buffer;
  override readonly biases: Buffer;
  override readonly bias: Parameter | undefined;
  readonly lora: LowRank;

  constructor(base: QuantizedLinear, lora: LowRank) {
    const [outputs, inputs] = base.matrix.shape as [number, number];
    super(inputs, outputs, { bits: base.bits, group: base.group });
    this.weight = base.weight;
    this.scales = base.scales;
    this.biases = base.biases;
    this.bias = base.bias;
    this.lora = lora;
  }

  override forward(x: Tensor): Tensor {
    const y = this.lora.adapt(x, this.matrix.multiply(x), () => this.matrix.dequantize());
    return this.bias === undefined ? y : y.add(this.bias.value);
  }

  override product(x: Tensor): Product {
    return this.lora.product(x, () => this.matrix.dequantize({ dtype: x.dtype }));
  }

  /** A layer in full precision that does the same, up to rounding to the dtype of the scales. */
  merged(): Linear {
    return plainLinear(this.lora.merged(this.matrix.dequantize()).to(this.scales.dtype), this.bias);
  }
}

function plainLinear(weight: Tensor, bias: Parameter | undefined): Linear {
  const [outputs, inputs] = weight.shape as [number, number];
  const made = new Linear(inputs, outputs);
  made.weight.value = weight;
  (made as { bias: Parameter | undefined }).bias = bias;
  return made;
}
