import { DTYPE_INFO, type DType, Tensor, type TensorData, tensor, UsageError } from "@openelm/tensor";
import { TOLERANCES, type Tolerance } from "./tolerances.js";

/** What {@link allClose} found. */
export interface Comparison {
  readonly close: boolean;
  /** Where the values are farthest apart, measured by what is allowed, or what does not fit at all. */
  readonly message: string;
}

/**
 * Compares all elements: `|actual − expected| ≤ atol + rtol · |expected|`.
 *
 * The tolerance is that of the less exact of both dtypes. NaN is close to NaN, an infinity to itself. Shapes must be
 * equal, except that a number stands for a tensor of it. Blocks.
 *
 * @throws UsageError if `actual` is not a tensor.
 * @example
 * ```ts
 * allClose(tensor([1, 3.5]), [1, 3]).close; // false
 * ```
 */
export function allClose(
  actual: unknown,
  expected: Tensor | TensorData,
  options: Partial<Tolerance> = {},
): Comparison {
  if (!(actual instanceof Tensor)) throw new UsageError("toBeAllClose compares tensors; got no tensor");
  // Plain numbers are as exact as they are written.
  const dtype = actual.dtype === "i64" ? "i64" : "f64";
  const like = (expected instanceof Tensor ? expected : tensor(expected as TensorData, { dtype })) as Tensor;
  try {
    return compare(actual as Tensor, like, typeof expected === "number", expected instanceof Tensor, options);
  } finally {
    if (like !== expected) like.dispose();
  }
}

function compare(
  actual: Tensor,
  expected: Tensor,
  isNumber: boolean,
  hasDType: boolean,
  options: Partial<Tolerance>,
): Comparison {
  if (!isNumber && actual.shape.join() !== expected.shape.join()) {
    return {
      close: false,
      message: `shape is [${actual.shape.join(", ")}], expected [${expected.shape.join(", ")}]`,
    };
  }
  const { rtol, atol } = {
    ...toleranceOf(actual.dtype, hasDType ? expected.dtype : actual.dtype),
    ...options,
  };
  const [a, b] = [actual.dataSync(), expected.dataSync()];
  let worst = { excess: 0, at: -1, difference: 0, allowed: atol };
  for (let i = 0; i < a.length; i++) {
    const [x, y] = [Number(a[i]), Number(b[isNumber ? 0 : i])];
    if (Object.is(x, y) || x === y) continue;
    const difference = Math.abs(x - y);
    const allowed = atol + rtol * Math.abs(y);
    // A NaN on one side, or another infinity, is farther off than any number.
    const excess = Number.isFinite(difference) ? difference / allowed : Number.POSITIVE_INFINITY;
    if (excess > worst.excess || worst.at < 0) worst = { excess, at: i, difference, allowed };
  }
  if (worst.at < 0) return { close: true, message: "all values are equal" };
  const [x, y] = [a[worst.at], b[isNumber ? 0 : worst.at]];
  const index = indexOf(worst.at, actual.shape).join(", ");
  return {
    close: worst.excess <= 1,
    message: `largest difference ${show(worst.difference)} at [${index}]: ${x}, expected ${y} (allowed ${show(worst.allowed)})`,
  };
}

function toleranceOf(a: DType, b: DType): Tolerance {
  const [x, y] = [TOLERANCES[a], TOLERANCES[b]];
  // An integer beside a float is exact; the float decides.
  if (!DTYPE_INFO[a].isFloat) return y;
  return x.rtol > y.rtol ? x : DTYPE_INFO[b].isFloat ? y : x;
}

function indexOf(position: number, shape: readonly number[]): number[] {
  let rest = position;
  return shape.map((_, axis) => {
    const inner = shape.slice(axis + 1).reduce((product, dim) => product * dim, 1);
    const index = Math.floor(rest / inner);
    rest %= inner;
    return index;
  });
}

const show = (value: number): string => value.toPrecision(3).replace(/\.?0+($|e)/, "$1");
