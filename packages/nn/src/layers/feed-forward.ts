import { gelu, mul, relu, silu, split, swiglu, type Tensor, UsageError } from "@openelm/tensor";
import type { Init } from "../init.js";
import { Module } from "../module.js";
import { Linear } from "./linear.js";

/** Activation functions by the names that configurations use. */
export const ACTIVATIONS = {
  swish: silu,
  silu,
  gelu: (x: Tensor) => gelu(x),
  gelu_tanh: (x: Tensor) => gelu(x, { approximate: "tanh" }),
  relu,
} as const satisfies Record<string, (x: Tensor) => Tensor>;

/** The name of an activation function. */
export type Activation = keyof typeof ACTIVATIONS;

/** Options of {@link FeedForward}. */
export interface FeedForwardOptions {
  /** Default `"swish"`, which is `"silu"`. */
  readonly activation?: Activation;
  /** Whether the activated half gates the other one. Default `true`. */
  readonly glu?: boolean;
  /** Initial weight of the second projection. Default: normal with variance `1 / inputs`. */
  readonly outInit?: Init;
}

/**
 * The feed-forward part of a transformer layer.
 *
 * With a gate: `[u, v] = x · W₁ᵀ`, `y = (act(u) · v) · W₂ᵀ`; without: `y = act(x · W₁ᵀ) · W₂ᵀ`.
 *
 * Shapes: input and output `[..., dim]`.
 *
 * @example
 * ```ts
 * new FeedForward(8, 32).forward(zeros([2, 3, 8])).shape; // [2, 3, 8]
 * ```
 * @see Shazeer, 2020, "GLU Variants Improve Transformer", arXiv:2002.05202
 */
export class FeedForward extends Module {
  readonly proj1: Linear;
  readonly proj2: Linear;
  readonly activation: Activation;
  readonly glu: boolean;

  /**
   * @param dim - Size of the last axis of input and output.
   * @param hidden - Size in between, of one half where there is a gate.
   * @throws UsageError if there is no such activation.
   */
  constructor(
    dim: number,
    hidden: number,
    { activation = "swish", glu = true, outInit }: FeedForwardOptions = {},
  ) {
    super();
    if (!Object.hasOwn(ACTIVATIONS, activation)) {
      const known = Object.keys(ACTIVATIONS).join(", ");
      throw new UsageError(`FeedForward: activation must be one of ${known}, got ${activation}`);
    }
    this.proj1 = new Linear(dim, glu ? 2 * hidden : hidden);
    this.proj2 = new Linear(hidden, dim, outInit === undefined ? {} : { init: outInit });
    this.activation = activation;
    this.glu = glu;
  }

  /** @throws OpError `SHAPE_MISMATCH` if the last axis of `x` is not `dim`. */
  forward(x: Tensor): Tensor {
    const h = this.proj1.forward(x);
    if (!this.glu) return this.proj2.forward(ACTIVATIONS[this.activation](h));
    if (ACTIVATIONS[this.activation] === silu) return this.proj2.forward(swiglu(h));
    const [gate, value] = split(h, 2, { axis: -1 });
    return this.proj2.forward(mul(ACTIVATIONS[this.activation](gate!), value!));
  }
}
