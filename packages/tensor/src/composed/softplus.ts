import type { DType } from "../dtype.js";
import { abs, add, exp, log1p, maximum, neg } from "../generated/ops.js";
import type { FloatDType } from "../result-dtype.js";
import type { Shape, Tensor } from "../tensor.js";
import { to } from "../to.js";
import { inWiderFloat } from "./variance.js";

/**
 * `log(1 + eˣ)`, elementwise.
 *
 * Computed as `max(x, 0) + log1p(e^−|x|)`, whose exponential cannot overflow.
 *
 * Shapes: `x` and `y` are `[...]`. Dtypes: floats; integers and bool become f32.
 *
 * @example
 * ```ts
 * await softplus(tensor([-1000, 0, 1000])).array(); // [0, 0.6931472, 1000]
 * ```
 */
export function softplus<D extends DType>(x: Tensor<Shape, D>): Tensor<Shape, FloatDType<D>> {
  return inWiderFloat(x, (wide) => {
    const values = wide.dtype === "f64" ? wide : to(wide, "f32");
    return add(maximum(values, 0), log1p(exp(neg(abs(values)))));
  });
}
