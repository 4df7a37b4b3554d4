import { DTYPE_INFO } from "../dtype.js";
import { abs, add, all, eq, isfinite, isnan, le, logicalAnd, logicalOr, mul, sub } from "../generated/ops.js";
import { item, itemSync } from "../read.js";
import type { Shape, Tensor } from "../tensor.js";
import { to } from "../to.js";

/** Options of {@link isclose} and {@link allclose}. */
export interface CloseOptions {
  /** Allowed distance as a share of `|b|`. Default `1e-5`. */
  readonly rtol?: number | undefined;
  /** Allowed distance besides. Default `1e-8`. */
  readonly atol?: number | undefined;
  /** Whether NaN is close to NaN. Default `false`. */
  readonly equalNan?: boolean | undefined;
}

/**
 * Whether `|a − b| ≤ atol + rtol · |b|`, elementwise; infinities are close to themselves only.
 *
 * Shapes broadcast. Dtypes: all → bool; computed in f64 if either is f64, else in f32.
 */
export function isclose(
  a: Tensor,
  b: Tensor,
  { rtol = 1e-5, atol = 1e-8, equalNan = false }: CloseOptions = {},
): Tensor<Shape, "bool"> {
  const exact = [a, b].some(
    ({ dtype }) => dtype === "f64" || (!DTYPE_INFO[dtype].isFloat && DTYPE_INFO[dtype].size > 2),
  );
  const [x, y] = [a, b].map((t) => to(t, exact ? "f64" : "f32")) as [Tensor, Tensor];
  const near = logicalAnd(le(abs(sub(x, y)), add(mul(abs(y), rtol), atol)), isfinite(y));
  const close = logicalOr(near, eq(x, y));
  return equalNan ? logicalOr(close, logicalAnd(isnan(x), isnan(y))) : close;
}

/**
 * Whether all elements are close; see {@link isclose}.
 *
 * @example
 * ```ts
 * await allclose(tensor([1]), tensor([1 + 1e-7])); // true
 * ```
 */
export async function allclose(a: Tensor, b: Tensor, options: CloseOptions = {}): Promise<boolean> {
  return Boolean(await item(all(isclose(a, b, options))));
}

/** The same, blocking. */
export function allcloseSync(a: Tensor, b: Tensor, options: CloseOptions = {}): boolean {
  return Boolean(itemSync(all(isclose(a, b, options))));
}
