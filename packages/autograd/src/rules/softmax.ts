import { div, exp, internal, log, max, sub, sum, type Tensor } from "@openelm/tensor";
import { notDifferentiable, type Rules } from "../rule.js";
import { stopGradient } from "../stop-gradient.js";

type Names = "softmax" | "softmax_backward" | "log_softmax" | "log_softmax_backward";

export const rules: Rules<Names> = {
  // dx = y · (grad − Σ grad · y)
  softmax: {
    saves: ["y"],
    vjp: ({ grad, outputs: { y }, attrs }) => ({ x: internal.softmaxBackward(grad, y, attrs) }),
    reference({ x }, { axis }) {
      const weights = exp(shifted(x, axis));
      return { y: div(weights, sum(weights, { axis, keepDims: true })) };
    },
  },
  softmax_backward: notDifferentiable("the gradient of a gradient goes through the reference of softmax"),
  // dx = grad − e^y · Σ grad
  log_softmax: {
    saves: ["y"],
    vjp: ({ grad, outputs: { y }, attrs }) => ({ x: internal.logSoftmaxBackward(grad, y, attrs) }),
    reference({ x }, { axis }) {
      const low = shifted(x, axis);
      return { y: sub(low, log(sum(exp(low), { axis, keepDims: true }))) };
    },
  },
  log_softmax_backward: notDifferentiable(
    "the gradient of a gradient goes through the reference of log_softmax",
  ),
};

/** `x` moved so that its largest element along `axis` is 0, which changes no softmax. */
const shifted = (x: Tensor, axis: number): Tensor =>
  x.size === 0 ? x : sub(x, stopGradient(max(x, { axis, keepDims: true })));
