import {
  clamp,
  div,
  eq,
  exp,
  ge,
  internal,
  le,
  logicalAnd,
  lt,
  matmul,
  max,
  mul,
  type OpTable,
  reshape,
  sub,
  sum,
  type Tensor,
  takeAlongAxis,
  where,
} from "@openelm/tensor";
import { transposed } from "../axes.js";
import { notDifferentiable, type Rules } from "../rule.js";
import { stopGradient } from "../stop-gradient.js";

/**
 * With `P = exp(scale · q kᵀ − lse)` where a key is seen and 0 elsewhere, and `S = P · (grad vᵀ − Σ_dim grad · y)`:
 *
 *   dq = scale · S k,  dk = scale · Sᵀ q,  dv = Pᵀ grad
 *
 * summed over the query heads of a kv head.
 */
export const rules: Rules<"attention" | "attention_backward"> = {
  attention: {
    saves: ["q", "k", "v", "y", "lse", "documents", "kvLength"],
    vjp({ inputs: { q, k, v, documents, kvLength }, outputs: { y, lse }, grad, attrs }) {
      const { dq, dk, dv } = internal.attentionBackward(grad.to(q.dtype), q, k, v, y, lse, {
        documents: documents ?? undefined,
        kvLength: kvLength ?? undefined,
        ...attrs,
      });
      return { q: dq, k: dk, v: dv };
    },
    reference: (inputs, attrs) => ({ y: attended(inputs, attrs) }),
  },
  attention_backward: notDifferentiable("the gradient of a gradient goes through the reference of attention"),
};

/** Attention with all scores in memory. */
function attended(
  { q, k, v, documents, kvLength }: OpTable["attention"]["inputs"],
  { causal, scale }: OpTable["attention"]["attrs"],
): Tensor {
  const [batch, heads, queries, dim] = q.shape as readonly [number, number, number, number];
  const [, kvHeads, keys] = k.shape as readonly [number, number, number, number];
  // Without keys every row is 0, and there is no largest score.
  if (keys === 0) return mul(q, 0);
  const group = heads / kvHeads;
  const perHead = (x: Tensor): Tensor => reshape(x, [batch, kvHeads, 1, keys, dim]);
  const grouped = reshape(q, [batch, kvHeads, group, queries, dim]);
  const scores = mul(matmul(grouped, transposed(perHead(k))), scale ?? 1 / Math.sqrt(dim));
  const seen = visible(q, keys, causal, documents, kvLength);
  // Hidden scores are replaced before the exponential: a 0 behind it would not undo an infinite slope.
  const top = stopGradient(max(where(seen, scores, Number.MIN_SAFE_INTEGER), { axis: -1, keepDims: true }));
  const weights = where(seen, exp(sub(where(seen, scores, top), top)), 0);
  const total = sum(weights, { axis: -1, keepDims: true });
  const shares = div(weights, where(eq(total, 0), 1, total));
  return reshape(matmul(shares, perHead(v)), q.shape);
}

/** Which keys each query sees, `[batch or 1, 1, 1, queries, keys]`. */
function visible(
  { shape, device }: Tensor,
  keys: number,
  causal: boolean,
  documents: Tensor | null,
  kvLength: Tensor | null,
): Tensor {
  const [batch, , queries] = shape as readonly [number, number, number, number];
  const count = (n: number): Tensor => internal.arange(0, 1, n, { dtype: "i32", device });
  const key = reshape(count(keys), [1, 1, 1, 1, keys]);
  const length = reshape(kvLength ?? internal.full([1], keys, { dtype: "i32", device }), [-1, 1, 1, 1, 1]);
  const position = length.sub(queries).add(reshape(count(queries), [1, 1, 1, queries, 1]));
  let seen = lt(key, length).broadcastTo([-1, 1, 1, queries, keys]);
  if (causal) seen = logicalAnd(seen, le(key, position));
  if (documents === null) return seen;
  const at = reshape(position, [-1, queries]).broadcastTo([batch, queries]);
  const own = takeAlongAxis(documents, clamp(at, { min: 0, max: keys - 1 }), { axis: 1 });
  const same = eq(reshape(documents, [batch, 1, 1, 1, keys]), reshape(own, [batch, 1, 1, queries, 1]));
  return logicalAnd(seen, logicalAnd(same, ge(position, 0)));
}
