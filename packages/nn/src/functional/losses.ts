import {
  abs,
  crossEntropy,
  div,
  type IndexOperand,
  linearCrossEntropy,
  mean,
  OpError,
  type Operand,
  square,
  sub,
  Tensor,
} from "@openelm/tensor";

/** Options of the cross-entropy losses. */
export interface CrossEntropyLossOptions {
  /** Targets that count for nothing. Default −100. */
  readonly ignoreIndex?: number;
  /** Weight of the squared log-partition function, which keeps logits from drifting. Default 0. */
  readonly zLoss?: number;
  /**
   * `"corenet"` adds the constant of ignored positions to the reported z-loss, as that framework does; gradients are
   * the same. Default `"valid"`.
   */
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
 * Shapes: `logits` `[..., classes]`, `targets` `[...]`; the parts have no axes. Dtypes: floats; targets are whole numbers.
 *
 * @example
 * ```ts
 * const { loss } = crossEntropyLoss(zeros([2, 4]), [1, 3], 2);
 * await loss.item(); // log 4
 * ```
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
 * Shapes: `hidden` `[n, dim]`, `weight` `[classes, dim]`, `targets` `[n]`; the parts have no axes. Dtypes: floats.
 *
 * @example
 * ```ts
 * const { loss } = linearCrossEntropyLoss(ones([2, 3]), zeros([5, 3]), [1, 4], 2, { zLoss: 1e-4 });
 * loss.shape; // []
 * ```
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

/**
 * Mean squared error: `mean((prediction − target)²)`.
 *
 * Shapes: `target` is a number or has the shape of `prediction`; the result has no axes. Dtypes: floats.
 *
 * @throws OpError `SHAPE_MISMATCH` if the shapes differ: broadcasting would compare every pair.
 * @example
 * ```ts
 * await mseLoss(tensor([1, 2]), tensor([1, 4])).item(); // 2
 * ```
 */
export function mseLoss(prediction: Tensor, target: Operand): Tensor {
  checkSameShape("mseLoss", prediction, target);
  return mean(square(sub(prediction, target)));
}

/**
 * Mean absolute error: `mean(|prediction − target|)`.
 *
 * Shapes: `target` is a number or has the shape of `prediction`; the result has no axes. Dtypes: floats.
 *
 * @throws OpError `SHAPE_MISMATCH` if the shapes differ.
 * @example
 * ```ts
 * await l1Loss(tensor([1, 2]), tensor([1, 4])).item(); // 1
 * ```
 */
export function l1Loss(prediction: Tensor, target: Operand): Tensor {
  checkSameShape("l1Loss", prediction, target);
  return mean(abs(sub(prediction, target)));
}

function checkSameShape(name: string, prediction: Tensor, target: Operand): void {
  if (!(target instanceof Tensor) || target.shape.join() === prediction.shape.join()) return;
  const shapes = `[${prediction.shape.join(", ")}] and [${target.shape.join(", ")}]`;
  throw new OpError("SHAPE_MISMATCH", name, `prediction and target must have the same shape, got ${shapes}`);
}
