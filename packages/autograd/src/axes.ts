import { internal, permute, reshape, type Shape, type Tensor } from "@openelm/tensor";

/** `axis` counted from the front. */
export const axisOf = (axis: number, rank: number): number => (axis < 0 ? axis + rank : axis);

/** The axes of a reduction; all of them without `axis`. */
export function axesOf(axis: number | readonly number[] | undefined, rank: number): number[] {
  if (axis === undefined) return Array.from({ length: rank }, (_, i) => i);
  return [axis].flat().map((a) => axisOf(a as number, rank));
}

/** The last two axes swapped. */
export function transposed(x: Tensor): Tensor {
  const axes = x.shape.map((_, i) => i);
  axes.push(...axes.splice(-2).reverse());
  return permute(x, axes);
}

/** `size` elements of `axis` from `start` on, a view. */
export function sliced(x: Tensor, axis: number, start: number, size: number): Tensor {
  const at = axisOf(axis, x.rank);
  const starts = x.shape.map((_, i) => (i === at ? start : 0));
  const sizes = x.shape.map((dim, i) => (i === at ? size : dim));
  return internal.slice(x, { starts, sizes, steps: x.shape.map(() => 1) });
}

/** The elements of `axis` in reverse order, a view. */
export function flipped(x: Tensor, axis: number): Tensor {
  const starts = x.shape.map((dim, i) => (i === axis ? Math.max(dim - 1, 0) : 0));
  const steps = x.shape.map((_, i) => (i === axis ? -1 : 1));
  return x.shape[axis] === 0 ? x : internal.slice(x, { starts, sizes: x.shape, steps });
}

/** A new axis of size 1 at `axis`. */
export const unsqueezed = (x: Tensor, axis: number): Tensor =>
  reshape(x, x.shape.toSpliced(axis < 0 ? axis + x.rank + 1 : axis, 0, 1));

/** How many elements a shape has. */
export const sizeOf = (shape: Shape): number => shape.reduce((product, dim) => product * dim, 1);
