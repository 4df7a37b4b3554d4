import type { Gradients } from "@openelm/autograd";
import {
  div,
  globalNorm,
  isfinite,
  logicalAnd,
  logicalNot,
  minimum,
  ones,
  scope,
  type Tensor,
  UsageError,
} from "@openelm/tensor";

/** What {@link clipGlobalNorm} gives, all f32 scalars on the device. */
export interface Clip {
  /** Norm of all gradients before clipping. */
  readonly norm: Tensor;
  /** What the gradients are to be multiplied by. */
  readonly scale: Tensor;
  /** 1 if a step would spoil the parameters, else 0. */
  readonly skip: Tensor;
}

/**
 * The factor that brings the norm of all gradients together down to `max`.
 *
 * `norm = √(Σ g²)`, `scale = min(1, max / (norm + 1e-6))`; `skip` is 1 where the norm or one of `others` is not finite.
 * Nothing is read back: the three go into {@link Optimizer.step}, which applies them.
 *
 * @param max - `undefined` or `Infinity`: scale stays 1.
 * @example
 * ```ts
 * const { norm, scale, skip } = clipGlobalNorm(grads, 1);
 * optimizer.step(model, grads, { scale, skip });
 * ```
 */
export function clipGlobalNorm(
  grads: Gradients,
  max: number | undefined,
  others: readonly Tensor[] = [],
): Clip {
  if (max !== undefined && !(max > 0))
    throw new UsageError(`clipGlobalNorm: max must be above 0, got ${max}`);
  const tensors = [...grads.entries()].flatMap(([, grad]) => (grad === null ? [] : [grad]));
  if (tensors.length === 0) throw new UsageError("clipGlobalNorm: there are no gradients");
  return scope(() => {
    const { device } = tensors[0]!;
    const norm = globalNorm(tensors);
    const one = ones([], { dtype: "f32", device });
    const scale =
      max === undefined || max === Number.POSITIVE_INFINITY ? one : minimum(div(max, norm.add(1e-6)), one);
    const finite = others.reduce((all, other) => logicalAnd(all, isfinite(other)), isfinite(norm));
    return { norm, scale, skip: logicalNot(finite).to("f32") };
  });
}
