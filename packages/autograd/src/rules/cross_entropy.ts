import {
  eq,
  exp,
  internal,
  log,
  max,
  mean,
  mul,
  ne,
  type OpTable,
  reshape,
  square,
  sub,
  sum,
  type Tensor,
  takeAlongAxis,
  where,
} from "@openelm/tensor";
import { isHalf } from "../half.js";
import { notDifferentiable, type Rules } from "../rule.js";
import { stopGradient } from "../stop-gradient.js";

type Attrs = OpTable["cross_entropy"]["attrs"];

/**
 * With `p = softmax(logits)` and `ε = labelSmoothing`, in rows that count:
 *
 *   d ce / d logits = p − (1 − ε) · onehot(target) − ε / V
 *   d z  / d logits = 2 · zLoss · lse · p
 *
 * and `loss = ce + z`. The kernel gives the gradient of `loss`; those of `ce` and `z` follow from a call without z-loss.
 */
export const rules: Rules<"cross_entropy" | "cross_entropy_backward"> = {
  cross_entropy: {
    saves: ["logits", "targets", "lse"],
    vjp({ inputs: { logits, targets }, outputs: { lse }, grads, attrs }) {
      const pulled = (grad: Tensor, zLoss: number): Tensor =>
        internal.crossEntropyBackward(grad, logits, targets, lse, { ...attrs, zLoss });
      const terms = [
        grads.loss && pulled(grads.loss, attrs.zLoss),
        grads.ce && pulled(grads.ce, 0),
        grads.z && sub(pulled(grads.z, attrs.zLoss), pulled(grads.z, 0)),
      ].filter((term) => term !== undefined);
      return { logits: terms.reduce((total, term) => total.add(term)) };
    },
    reference: ({ logits, targets }, attrs) => losses(logits, targets, attrs),
  },
  cross_entropy_backward: notDifferentiable(
    "the gradient of a gradient goes through the reference of cross_entropy",
  ),
};

/** `loss`, `ce` and `z` from all logits. */
export function losses(
  given: Tensor,
  targets: Tensor,
  attrs: Attrs,
): { loss: Tensor; ce: Tensor; z: Tensor } {
  const { ignoreIndex, zLoss, zLossMode, labelSmoothing } = attrs;
  const logits = isHalf(given.dtype) ? given.to("f32") : given;
  const classes = logits.shape.at(-1)!;
  const counts = ne(targets, ignoreIndex);
  const top = stopGradient(max(logits, { axis: -1, keepDims: true }));
  const lse = log(sum(exp(sub(logits, top)), { axis: -1 })).add(reshape(top, targets.shape));
  const column = reshape(where(counts, targets, 0), [...targets.shape, 1]);
  const hit = reshape(takeAlongAxis(logits, column, { axis: -1 }), targets.shape);
  const expected = mul(hit, 1 - labelSmoothing).add(mul(mean(logits, { axis: -1 }), labelSmoothing));
  const ce = sum(where(counts, sub(lse, expected), 0));
  const penalty = mul(sum(where(counts, square(lse), 0)), zLoss);
  if (zLossMode === "valid") return { loss: ce.add(penalty), ce, z: penalty };
  const ignored = sum(eq(targets, ignoreIndex)).to(logits.dtype);
  const z = penalty.add(mul(ignored, zLoss * Math.log(classes) ** 2));
  return { loss: ce.add(z), ce, z };
}
