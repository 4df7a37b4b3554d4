import { internal, pad, permute, reshape, type Tensor } from "@openelm/tensor";
import { axisOf, flipped } from "../axes.js";
import type { Rules } from "../rule.js";
import { sumTo } from "../sum-to.js";

/** Ops that look at the same elements in another way, or copy them. */
export const rules: Rules<"reshape" | "view" | "permute" | "broadcast_to" | "slice" | "contiguous" | "copy"> =
  {
    reshape: { vjp: ({ grad, specs: { x } }) => ({ x: reshape(grad, x.shape) }) },
    view: { vjp: ({ grad, specs: { x } }) => ({ x: reshape(grad, x.shape) }) },
    // Axis axes[i] of x is axis i of y.
    permute: {
      vjp({ grad, attrs: { axes } }) {
        const forward = axes.map((axis) => axisOf(axis, axes.length));
        return {
          x: permute(
            grad,
            forward.map((_, i) => forward.indexOf(i)),
          ),
        };
      },
    },
    // dx = Σ grad over the axes along which x was repeated
    broadcast_to: { vjp: ({ grad, specs: { x } }) => ({ x: sumTo(grad, x.shape) }) },
    // dx[start + i · step] = grad[i], 0 between
    slice: {
      vjp({ grad, specs: { x }, attrs: { starts, steps } }) {
        const spaced = steps.reduce(
          (g, step, axis) => spacedOut(step < 0 ? flipped(g, axis) : g, axis, Math.abs(step)),
          grad,
        );
        const pads = x.shape.flatMap((dim, axis) => {
          const [size, taken] = [spaced.shape[axis]!, grad.shape[axis]!];
          if (taken === 0) return [0, dim];
          const first = steps[axis]! < 0 ? starts[axis]! + (taken - 1) * steps[axis]! : starts[axis]!;
          return [first, dim - first - size];
        });
        return { x: pads.some((width) => width > 0) ? pad(spaced, pads) : spaced };
      },
    },
    contiguous: { vjp: ({ grad }) => ({ x: grad }) },
    copy: { vjp: ({ grad }) => ({ x: grad }) },
  };

/** `x` with `step − 1` zeros between neighbours of `axis`. */
function spacedOut(x: Tensor, axis: number, step: number): Tensor {
  const size = x.shape[axis]!;
  if (step === 1 || size < 2) return x;
  // Each element becomes a row of its own that zeros fill up; those after the last are cut off.
  const rows = reshape(x, x.shape.toSpliced(axis + 1, 0, 1));
  const filled = pad(
    rows,
    rows.shape.flatMap((_, i) => [0, i === axis + 1 ? step - 1 : 0]),
  );
  const joined = reshape(filled, x.shape.with(axis, size * step));
  const sizes = joined.shape.with(axis, (size - 1) * step + 1);
  return internal.slice(joined, { starts: sizes.map(() => 0), sizes, steps: sizes.map(() => 1) });
}
