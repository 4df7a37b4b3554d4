import { rmsNorm, type Tensor } from "@openelm/tensor";
import { ones } from "../init.js";
import { Module } from "../module.js";
import { Parameter } from "../parameter.js";

/** Options of {@link RMSNorm}. */
export interface RMSNormOptions {
  /** Added to the mean square before the root. Default `1e-6`. */
  readonly eps?: number;
}

/**
 * Root-mean-square layer normalization with a learned scale.
 *
 * `y = x / sqrt(mean(x²) + eps) · weight`, over the last axis; no mean is subtracted and there is no bias.
 *
 * Shapes: input and output `[..., dim]`, `weight` `[dim]`. Dtypes: floats; half-precision inputs are summed in f32.
 *
 * @example
 * ```ts
 * await new RMSNorm(4).forward(tensor([[1, 1, 1, 1]])).array(); // [[1, 1, 1, 1]], within eps
 * ```
 * @see Zhang and Sennrich, 2019, "Root Mean Square Layer Normalization", arXiv:1910.07467
 */
export class RMSNorm extends Module {
  readonly weight: Parameter;
  readonly eps: number;

  /** @param dim - Size of the last axis of the input. */
  constructor(dim: number, { eps = 1e-6 }: RMSNormOptions = {}) {
    super();
    this.weight = new Parameter({ shape: [dim], init: ones });
    this.eps = eps;
  }

  /** @throws OpError `SHAPE_MISMATCH` if the last axis of `x` is not `dim`. */
  forward(x: Tensor): Tensor {
    return rmsNorm(x, this.weight.value, { eps: this.eps });
  }
}
