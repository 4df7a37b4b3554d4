import { addRmsNorm, rmsNorm, type Tensor } from "@openelm/tensor";
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
  /**
   * Adds `branch` to a residual stream and norms the sum, in one pass over memory: `sum = x + branch`,
   * `y = forward(sum)` in the dtype of `branch`.
   *
   * Shapes: all `[..., dim]`. Dtypes: floats; an f32 stream takes branches of half precision.
   *
   * @throws OpError `SHAPE_MISMATCH` if the shapes of `x` and `branch` differ, or their last axis is not `dim`.
   * @example
   * ```ts
   * const { sum, y } = new RMSNorm(2).addForward(tensor([[1, 2]]), tensor([[0, -1]]));
   * await sum.array(); // [[1, 1]]
   * ```
   */
  addForward(x: Tensor, branch: Tensor): { sum: Tensor; y: Tensor } {
    // Other dtypes are promoted as those of any sum.
    if (x.dtype !== branch.dtype && (x.dtype !== "f32" || branch.dtype === "f64")) {
      const sum = x.add(branch);
      return { sum, y: this.forward(sum) };
    }
    return addRmsNorm(x, branch, this.weight.value, { eps: this.eps });
  }
}
