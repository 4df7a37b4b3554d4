import { attention, OpError, qkNormRope, qkNormRopeCache, type Tensor, UsageError } from "@openelm/tensor";
import type { Init } from "../init.js";
import type { LayerCache } from "../kv-cache.js";
import { Module } from "../module.js";
import { Linear } from "./linear.js";
import { RMSNorm } from "./rms-norm.js";

/** Options of {@link Attention}. */
export interface AttentionOptions {
  /** Size of the last axis of input and output. */
  readonly dim: number;
  /** Heads of queries. */
  readonly queryHeads: number;
  /** Heads of keys and values; each serves `queryHeads / kvHeads` query heads. Default: as many as there are of queries. */
  readonly kvHeads?: number;
  /** Elements of a head; even, since rotary positions turn pairs. */
  readonly headDim: number;
  /** Whether queries and keys are normed per head. Default `false`. */
  readonly qkNorm?: boolean;
  /** Base of the rotary angles. Default 10000. */
  readonly ropeBase?: number;
  /** Added inside the norms' roots. Default `1e-6`. */
  readonly eps?: number;
  /** Initial weight of the output projection. Default: normal with variance `1 / inputs`. */
  readonly outInit?: Init;
}

/** What one pass over a sequence brings beside its values. */
export interface AttentionContext {
  /** Earlier positions; the new ones are added. It is for inference: a gradient through them is refused. */
  readonly cache?: LayerCache | undefined;
  /** Number of the document of each position, `[batch, time]` i32: positions see only their own document. Not with a cache. */
  readonly documents?: Tensor | undefined;
}

/**
 * Causal self-attention with rotary positions and grouped key-value heads.
 *
 * `y = concat(softmax(q kᵀ / √headDim) v) · Woᵀ`, with `[q, k, v] = x · Wqkvᵀ`, q and k normed (optionally) and rotated.
 *
 * Shapes: input and output `[batch, time, dim]`. Positions count from 0, or go on after those of the cache.
 *
 * @example
 * ```ts
 * const attn = new Attention({ dim: 64, queryHeads: 4, kvHeads: 2, headDim: 16, qkNorm: true });
 * attn.forward(zeros([2, 10, 64])).shape; // [2, 10, 64]
 * ```
 * @see Ainslie et al., 2023, "GQA", arXiv:2305.13245; Su et al., 2021, "RoFormer", arXiv:2104.09864
 */
export class Attention extends Module {
  readonly qkvProj: Linear;
  readonly outProj: Linear;
  readonly qNorm: RMSNorm | undefined;
  readonly kNorm: RMSNorm | undefined;
  readonly queryHeads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly ropeBase: number;
  readonly eps: number;

  constructor({
    dim,
    queryHeads,
    kvHeads = queryHeads,
    headDim,
    qkNorm = false,
    ropeBase = 10000,
    eps = 1e-6,
    outInit,
  }: AttentionOptions) {
    super();
    if (queryHeads % kvHeads !== 0) {
      throw new UsageError(
        `Attention: queryHeads must be a multiple of kvHeads, got ${queryHeads} and ${kvHeads}`,
      );
    }
    this.qkvProj = new Linear(dim, (queryHeads + 2 * kvHeads) * headDim);
    this.qNorm = qkNorm ? new RMSNorm(headDim, { eps }) : undefined;
    this.kNorm = qkNorm ? new RMSNorm(headDim, { eps }) : undefined;
    this.outProj = new Linear(queryHeads * headDim, dim, outInit === undefined ? {} : { init: outInit });
    this.queryHeads = queryHeads;
    this.kvHeads = kvHeads;
    this.headDim = headDim;
    this.ropeBase = ropeBase;
    this.eps = eps;
  }

  /**
   * @throws OpError `SHAPE_MISMATCH` if `x` is not `[batch, time, dim]`, or the cache is for another batch.
   * @throws UsageError if there are both documents and a cache.
   */
  forward(x: Tensor, { cache, documents }: AttentionContext = {}): Tensor {
    if (x.rank !== 3) {
      throw new OpError(
        "SHAPE_MISMATCH",
        "Attention",
        `x must be [batch, time, dim], got [${x.shape.join(", ")}]`,
      );
    }
    if (cache !== undefined && documents !== undefined) {
      throw new UsageError("Attention: documents are for whole sequences and cannot be used with a cache");
    }
    const y = this.#attend(this.qkvProj.forward(x), { cache, documents });
    const [batch, time] = x.shape;
    return this.outProj.forward(
      y.permute([0, 2, 1, 3]).reshape([batch!, time!, this.queryHeads * this.headDim]),
    );
  }
  /** `[batch, queryHeads, time, headDim]` from all heads side by side. */
  #attend(qkv: Tensor, { cache, documents }: AttentionContext): Tensor {
    const options = {
      qWeight: this.qNorm?.weight.value,
      kWeight: this.kNorm?.weight.value,
      queryHeads: this.queryHeads,
      kvHeads: this.kvHeads,
      eps: this.eps,
      base: this.ropeBase,
    };
    if (cache === undefined) {
      const { q, k, v } = qkNormRope(qkv, options);
      return attention(q, k, v, { documents });
    }
    const { keys, values, offset, length } = cache;
    const q = qkNormRopeCache(qkv, keys, values, offset, options);
    return attention(q, keys, values, { kvLength: length });
  }
}
