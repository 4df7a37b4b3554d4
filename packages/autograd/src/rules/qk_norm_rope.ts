import { internal, mul, permute, reshape, type Tensor, zeros } from "@openelm/tensor";
import { sliced } from "../axes.js";
import { notDifferentiable, type Rules } from "../rule.js";
import { normalized } from "./rms_norm.js";
import { rotated } from "./rope.js";

/**
 * `dq` and `dk` are turned back by `−θ` and go through the gradient of the norm: with `x̂ = x · rstd`, `g = d · weight`,
 *
 *   dx      = rstd · (g − x̂ · mean(g · x̂))
 *   dweight = Σ_rows d · x̂
 *
 * `dv` moves to its place.
 */
export const rules: Rules<"qk_norm_rope" | "qk_norm_rope_backward"> = {
  qk_norm_rope: {
    saves: ["qkv", "qWeight", "kWeight", "offset", "qRstd", "kRstd"],
    vjp({ inputs: { qkv, qWeight, kWeight, offset }, outputs: { qRstd, kRstd }, grads, attrs }) {
      const dim = qkv.shape[2]! / (attrs.queryHeads + 2 * attrs.kvHeads);
      const given = (grad: Tensor | undefined, heads: number): Tensor =>
        grad?.to(qkv.dtype) ??
        zeros([qkv.shape[0]!, heads, qkv.shape[1]!, dim], { dtype: qkv.dtype, device: qkv.device });
      const { dqkv, dqWeight, dkWeight } = internal.qkNormRopeBackward(
        given(grads.q, attrs.queryHeads),
        given(grads.k, attrs.kvHeads),
        given(grads.v, attrs.kvHeads),
        qkv,
        qRstd,
        kRstd,
        {
          ...attrs,
          qWeight: qWeight ?? undefined,
          kWeight: kWeight ?? undefined,
          offset: offset ?? undefined,
        },
      );
      return { qkv: dqkv, qWeight: dqWeight, kWeight: dkWeight };
    },
    reference({ qkv, qWeight, kWeight, offset }, { queryHeads, kvHeads, eps, base }) {
      const [batch, tokens, width] = qkv.shape as readonly [number, number, number];
      const heads = queryHeads + 2 * kvHeads;
      const split = permute(reshape(qkv, [batch, tokens, heads, width / heads]), [0, 2, 1, 3]);
      const turned = (first: number, count: number, weight: Tensor | null): Tensor => {
        const part = sliced(split, 1, first, count);
        return rotated(weight === null ? part : mul(normalized(part, eps), weight), offset, base, false);
      };
      return {
        q: turned(0, queryHeads, qWeight),
        k: turned(queryHeads, kvHeads, kWeight),
        v: sliced(split, 1, queryHeads + kvHeads, kvHeads),
      };
    },
  },
  qk_norm_rope_backward: notDifferentiable(
    "the gradient of a gradient goes through the reference of qk_norm_rope",
  ),
};
