import { div, eq, exp, mul, ones, prod, reshape, sub, sum, type Tensor, where } from "@openelm/tensor";
import { axesOf, sliced } from "../axes.js";
import type { Rules } from "../rule.js";
import { keepDims, spread } from "../sum-to.js";

/** Reductions; `Σ` runs over the reduced axes, and a result spreads over them again. */
export const rules: Rules<"sum" | "mean" | "prod" | "max" | "min" | "logsumexp"> = {
  // dx = grad
  sum: { vjp: ({ grad, specs: { x }, attrs: { axis } }) => ({ x: spread(grad, x.shape, axis) }) },
  // dx = grad / n
  mean: {
    vjp({ grad, specs: { x }, attrs: { axis } }) {
      const count = axesOf(axis, x.shape.length).reduce((n, i) => n * x.shape[i]!, 1);
      return { x: spread(div(grad, count), x.shape, axis) };
    },
  },
  // dx[i] = grad · Π_{j≠i} x[j]: y / x[i] without zeros, the product of the others at a single zero, else 0
  prod: {
    saves: ["x"],
    vjp({ grad, inputs: { x }, attrs: { axis } }) {
      const isZero = eq(x, 0);
      const others = where(isZero, 1, x);
      const zeros = sum(isZero, { axis, keepDims: true });
      const product = prod(others, { axis, keepDims: true });
      const elsewhere = where(eq(zeros, 0), div(product, others), 0);
      const slope = where(isZero, where(eq(zeros, 1), product, 0), elsewhere);
      return { x: mul(keepDims(grad, x.shape, axis), slope) };
    },
    reference: ({ x }, { axis, keepDims: keep }) => ({ y: product(x, axesOf(axis, x.rank), keep) }),
  },
  // The elements that equal the result share its gradient.
  max: { saves: ["x", "y"], vjp: (context) => ({ x: amongEqual(context) }) },
  min: { saves: ["x", "y"], vjp: (context) => ({ x: amongEqual(context) }) },
  // dx = grad · e^(x−y); a line of nothing but −∞ has the gradient 0
  logsumexp: {
    saves: ["x", "y"],
    vjp({ grad, inputs: { x }, outputs, attrs: { axis } }) {
      const y = keepDims(outputs.y, x.shape, axis);
      const weight = exp(sub(x, where(eq(y, Number.NEGATIVE_INFINITY), 0, y)));
      return { x: mul(keepDims(grad, x.shape, axis), weight) };
    },
  },
};

interface Extremum {
  readonly grad: Tensor;
  readonly inputs: { readonly x: Tensor };
  readonly outputs: { readonly y: Tensor };
  readonly attrs: { readonly axis: number | readonly number[] | undefined };
}

function amongEqual({ grad, inputs: { x }, outputs: { y }, attrs: { axis } }: Extremum): Tensor {
  const equal = eq(x, keepDims(y, x.shape, axis));
  const count = sum(equal, { axis, keepDims: true });
  return where(equal, div(keepDims(grad, x.shape, axis), count), 0);
}

/** A product by halves: made of multiplications, it is right with zeros however often it is differentiated. */
function product(x: Tensor, axes: readonly number[], keep: boolean): Tensor {
  const folded = axes.reduce((all, axis) => productAlong(all, axis), x);
  const shape = x.shape.filter((_, i) => !axes.includes(i));
  return keep ? folded : reshape(folded, shape);
}

function productAlong(x: Tensor, axis: number): Tensor {
  const size = x.shape[axis]!;
  if (size === 1) return x;
  if (size === 0) return ones(x.shape.with(axis, 1), { dtype: x.dtype, device: x.device });
  const half = size >> 1;
  const pairs = mul(sliced(x, axis, 0, half), sliced(x, axis, half, half));
  const paired = productAlong(pairs, axis);
  return size % 2 === 0 ? paired : mul(paired, sliced(x, axis, size - 1, 1));
}
