import type { Tensor } from "@openelm/tensor";
import { linear, type Product } from "../functional/linear.js";
import { fanInNormal, type Init, zeros } from "../init.js";
import { Module } from "../module.js";
import { Parameter } from "../parameter.js";

/** Options of {@link Linear}. */
export interface LinearOptions {
  /** Whether a learned vector is added. Default `false`. */
  readonly bias?: boolean;
  /** Initial weight. Default: normal with variance `1 / inputs`. */
  readonly init?: Init;
}

/**
 * A linear map: `y = x · Wᵀ + b`.
 *
 * Shapes: input `[..., inputs]`, output `[..., outputs]`, `weight` `[outputs, inputs]`, `bias` `[outputs]`.
 *
 * @example
 * ```ts
 * new Linear(3, 2).forward(zeros([5, 3])).shape; // [5, 2]
 * ```
 */
export class Linear extends Module {
  readonly weight: Parameter;
  readonly bias: Parameter | undefined;

  /**
   * @param inputs - Size of the last axis of the input.
   * @param outputs - Size of the last axis of the output.
   */
  constructor(inputs: number, outputs: number, { bias = false, init = fanInNormal }: LinearOptions = {}) {
    super();
    this.weight = new Parameter({ shape: [outputs, inputs], init });
    this.bias = bias ? new Parameter({ shape: [outputs], init: zeros }) : undefined;
  }

  /** @throws OpError `SHAPE_MISMATCH` if the last axis of `x` is not `inputs`. */
  forward(x: Tensor): Tensor {
    return linear(x, this.weight.value, this.bias?.value);
  }
  /** What {@link forward} gives without the bias, as a product yet to be made. */
  product(x: Tensor): Product {
    return { features: x, weight: this.weight.value };
  }
}
