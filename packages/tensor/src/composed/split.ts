import { OpError } from "@openelm/native";
import type { DType } from "../dtype.js";
import { slice } from "../generated/internal.js";
import { reshape } from "../generated/ops.js";
import { axisOf, checkCount, withDim } from "../shape.js";
import type { Shape, Tensor } from "../tensor.js";

/** Options of {@link split}, {@link chunk}. */
export interface SplitOptions {
  /** The axis that is cut. Default `0`. */
  readonly axis?: number | undefined;
}

/** Views of consecutive pieces. */
function pieces<D extends DType>(
  x: Tensor<Shape, D>,
  axis: number,
  sizes: readonly number[],
): Tensor<Shape, D>[] {
  let start = 0;
  return sizes.map((size) => {
    const starts = x.shape.map((_, i) => (i === axis && size > 0 ? start : 0));
    start += size;
    return slice(x, { starts, sizes: withDim(x.shape, axis, size), steps: x.shape.map(() => 1) });
  });
}

/**
 * Views of consecutive pieces along an axis: so many equal parts, or pieces of the given sizes.
 *
 * Shapes: `x` is `[..., n, ...]`; the pieces' sizes along the axis add up to `n`. Dtypes: all.
 *
 * @throws OpError `SHAPE_MISMATCH` if the parts are not equal or the sizes do not add up; {@link chunk} takes uneven ones.
 * @example
 * ```ts
 * split(zeros([6, 2]), 3).map((part) => part.shape[0]); // [2, 2, 2]
 * split(zeros([6, 2]), [1, 5]).map((part) => part.shape[0]); // [1, 5]
 * ```
 */
export function split<D extends DType>(
  x: Tensor<Shape, D>,
  parts: number | readonly number[],
  { axis = 0 }: SplitOptions = {},
): Tensor<Shape, D>[] {
  const at = axisOf("split", axis, x.rank);
  const size = x.shape[at]!;
  if (typeof parts === "number") {
    checkCount("split", "parts", parts);
    if (parts === 0 || size % parts !== 0) {
      throw new OpError(
        "SHAPE_MISMATCH",
        "split",
        `axis ${at} of size ${size} cannot be cut into ${parts} equal parts; chunk() takes a shorter last one`,
      );
    }
    return pieces(x, at, new Array<number>(parts).fill(size / parts));
  }
  for (const part of parts) checkCount("split", "a size", part);
  const sum = parts.reduce((total, part) => total + part, 0);
  if (sum !== size) {
    throw new OpError(
      "SHAPE_MISMATCH",
      "split",
      `sizes [${parts.join(", ")}] add up to ${sum}, axis ${at} has ${size}`,
    );
  }
  return pieces(x, at, parts);
}

/**
 * At most `count` views of consecutive pieces along an axis, all of one size but the last, which may be shorter.
 *
 * @example
 * ```ts
 * chunk(zeros([5]), 2).map((part) => part.shape[0]); // [3, 2]
 * ```
 */
export function chunk<D extends DType>(
  x: Tensor<Shape, D>,
  count: number,
  { axis = 0 }: SplitOptions = {},
): Tensor<Shape, D>[] {
  const at = axisOf("chunk", axis, x.rank);
  checkCount("chunk", "count", count);
  if (count === 0) throw new OpError("INVALID_ARGUMENT", "chunk", "count must be at least 1");
  const size = x.shape[at]!;
  const step = Math.max(1, Math.ceil(size / count));
  const sizes: number[] = [];
  for (let start = 0; start < size; start += step) sizes.push(Math.min(step, size - start));
  return pieces(x, at, sizes.length === 0 ? [0] : sizes);
}

/**
 * A view of each slice along an axis, which is gone from them. The way to iterate over a tensor.
 *
 * Shapes: `x` is `[..., n, ...]`, each of the `n` results is `x` without the axis. Dtypes: all.
 *
 * @example
 * ```ts
 * for (const row of unbind(tensor([[1, 2], [3, 4]]))) console.log(await row.array()); // [1, 2], then [3, 4]
 * ```
 */
export function unbind<D extends DType>(x: Tensor<Shape, D>, axis = 0): Tensor<Shape, D>[] {
  const at = axisOf("unbind", axis, x.rank);
  const shape = x.shape.filter((_, i) => i !== at);
  const ones = new Array<number>(x.shape[at]!).fill(1);
  return pieces(x, at, ones).map((piece) => reshape(piece, shape));
}
