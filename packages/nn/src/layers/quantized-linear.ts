import { intercept, type QuantizationOptions, QuantizedTensor, type Tensor } from "@openelm/tensor";
import type { Product } from "../functional/linear.js";
import { zeros } from "../init.js";
import { Module } from "../module.js";
import { type Buffer, Parameter } from "../parameter.js";
import type { Linear } from "./linear.js";
import {
  type QuantizedBuffers,
  quantizedBuffers,
  quantizedTensor,
  takeQuantized,
} from "./quantized-weight.js";

/** Options of {@link QuantizedLinear}. */
export interface QuantizedLinearOptions extends QuantizationOptions {
  /** Whether a learned vector is added. Default `false`. */
  readonly bias?: boolean;
}

/**
 * A linear map whose weights are codes of a few bits: `y = x · Wᵀ + b`, `W = scales · codes + biases` group by group.
 *
 * Shapes: input `[..., inputs]`, output `[..., outputs]`, `weight` `[outputs, inputs · bits / 32]` (u32), `scales` and
 * `biases` `[outputs, inputs / group]`. Gradients flow to the input; the weights have none.
 *
 * @example
 * ```ts
 * QuantizedLinear.from(new Linear(64, 2), { bits: 8 }).forward(zeros([5, 64])).shape; // [5, 2]
 * ```
 */
export class QuantizedLinear extends Module implements QuantizedBuffers {
  readonly weight: Buffer;
  readonly scales: Buffer;
  readonly biases: Buffer;
  readonly bias: Parameter | undefined;
  readonly bits: number;
  readonly group: number;

  /**
   * A layer whose values will be loaded; until then its weights are 0.
   *
   * @throws UsageError if `inputs` is not a multiple of `group`.
   */
  constructor(inputs: number, outputs: number, { bias = false, ...options }: QuantizedLinearOptions = {}) {
    super();
    const buffers = quantizedBuffers("QuantizedLinear", [outputs, inputs], options);
    this.weight = buffers.weight;
    this.scales = buffers.scales;
    this.biases = buffers.biases;
    this.bias = bias ? new Parameter({ shape: [outputs], init: zeros }) : undefined;
    this.bits = buffers.bits;
    this.group = buffers.group;
  }

  /** The same map with its weights rounded; a bias is shared with `layer`. */
  static from(layer: Linear, options: QuantizationOptions = {}): QuantizedLinear {
    const codes = intercept(null, () => QuantizedTensor.from(layer.weight.value, options));
    return QuantizedLinear.of(codes, layer.bias);
  }

  /** The map whose weights `[outputs, inputs]` are these codes, which it takes over. */
  static of(codes: QuantizedTensor, bias?: Parameter): QuantizedLinear {
    const [outputs, inputs] = codes.shape as [number, number];
    const { bits, group } = codes;
    const quantized = new QuantizedLinear(inputs, outputs, { bits, group });
    takeQuantized(quantized, codes);
    (quantized as { bias: Parameter | undefined }).bias = bias;
    return quantized;
  }

  /** The weights as one matrix `[outputs, inputs]` in codes. */
  get matrix(): QuantizedTensor {
    return quantizedTensor(this);
  }

  /** @throws OpError `SHAPE_MISMATCH` if the last axis of `x` is not `inputs`. */
  forward(x: Tensor): Tensor {
    const y = this.matrix.multiply(x);
    return this.bias === undefined ? y : y.add(this.bias.value);
  }
  /** What {@link forward} gives without the bias, as a product yet to be made. */
  product(x: Tensor): Product {
    return { features: x, weight: this.matrix.dequantize({ dtype: x.dtype }) };
  }
}
