import { layerNorm, type Tensor } from "@openelm/tensor";
import { ones, zeros } from "../init.js";
import { Module } from "../module.js";
import { Parameter } from "../parameter.js";

/** Options of {@link LayerNorm}. */
export interface LayerNormOptions {
  /** Added to the variance before the root. Default `1e-5`. */
  readonly eps?: number;
  /** Whether a learned vector is added. Default `true`. */
  readonly bias?: boolean;
}

/**
 * Layer normalization with a learned scale and shift.
 *
 * `y = (x − mean) / sqrt(variance + eps) · weight + bias`, over the last axis.
 *
 * Shapes: input and output `[..., dim]`, `weight` and `bias` `[dim]`. Dtypes: floats.
 *
 * @example
 * ```ts
 * new LayerNorm(4).forward(zeros([2, 4])).shape; // [2, 4]
 * ```
 * @see Ba et al., 2016, "Layer Normalization", arXiv:1607.06450
 */
export class LayerNorm extends Module {
  readonly weight: Parameter;
  readonly bias: Parameter | undefined;
  readonly eps: number;

  /** @param dim - Size of the last axis of the input. */
  constructor(dim: number, { eps = 1e-5, bias = true }: LayerNormOptions = {}) {
    super();
    this.weight = new Parameter({ shape: [dim], init: ones });
    this.bias = bias ? new Parameter({ shape: [dim], init: zeros }) : undefined;
    this.eps = eps;
  }

  /** @throws OpError `SHAPE_MISMATCH` if the last axis of `x` is not `dim`. */
  forward(x: Tensor): Tensor {
    return layerNorm(x, { weight: this.weight.value, bias: this.bias?.value, eps: this.eps });
  }
}
