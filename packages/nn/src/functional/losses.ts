import {
  abs,
  crossEntropy,
  div,
  type IndexOperand,
  linearCrossEntropy,
  mean,
  type Operand,
  square,
  sub,
  type Tensor,
} from "@openelm/tensor";

/** Options of the cross-entropy losses. */
export interface CrossEntropyLossOptions {
  /** Targets that count for nothing. Default −100. */
  readonly ignoreIndex?: number;
  /** Weight of the squared log-partition function, which keeps logits from drifting. Default 0. */
  readonly zLoss?: number;
  /** Whether ignored positions add their constant to the reported z-loss, as CoreNet's do. */
  readonly zLossMode?: "valid" | "corenet";
  /** Share of the probability that is spread over all classes. Default 0. */
  readonly labelSmoothing?: number;
}

/** A loss and its parts. */
export interface LossParts {
  /** What is minimized. */
  readonly loss: Tensor;
  /** The cross-entropy alone. */
  readonly ce: Tensor;
  /** The z-loss alone. */
  readonly z: Tensor;
}

const divided = ({ loss, ce, z }: LossParts, count: Operand): LossParts => ({
  loss: div(loss, count),
  ce: div(ce, count),
  z: div(z, count),
});

/**
 * Cross-entropy of logits, divided by `count` (such as the number of targets that are not ignored).
 *
 * `−log softmax(logits)[target]`, plus `zLoss · logsumexp(logits)²`, summed over all targets that are not ignored.
 *
 * Shapes: `logits` `[..., classes]`, `targets` `[...]`.
 */
export function crossEntropyLoss(
  logits: Tensor,
  targets: IndexOperand,
  count: Operand = 1,
  options: CrossEntropyLossOptions = {},
): LossParts {
  return divided(crossEntropy(logits, targets, options), count);
}

/**
 * The same for `logits = hidden · weightᵀ`, without ever holding all logits.
 *
 * Shapes: `hidden` `[n, dim]`, `weight` `[classes, dim]`, `targets` `[n]`.
 */
export function linearCrossEntropyLoss(
  hidden: Tensor,
  weight: Tensor,
  targets: IndexOperand,
  count: Operand = 1,
  options: CrossEntropyLossOptions = {},
): LossParts {
  return divided(linearCrossEntropy(hidden, weight, targets, options), count);
}

/** Mean squared error: `mean((prediction − target)²)`. */
export const mseLoss = (prediction: Tensor, target: Operand): Tensor => mean(square(sub(prediction, target)));

/** Mean absolute error: `mean(|prediction − target|)`. */
export const l1Loss = (prediction: Tensor, target: Operand): Tensor => mean(abs(sub(prediction, target)));
