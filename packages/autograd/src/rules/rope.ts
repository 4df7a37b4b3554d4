import { concat, cos, internal, mul, reshape, rope, sin, sub, type Tensor, tensor } from "@openelm/tensor";
import { sliced } from "../axes.js";
import type { Rules } from "../rule.js";

/** A rotation is undone by the opposite one: `dx` is `grad` turned by `−θ`. */
export const rules: Rules<"rope"> = {
  rope: {
    saves: ["offset"],
    vjp: ({ grad, inputs: { offset }, attrs: { base, inverse } }) => ({
      x: rope(grad, { offset: offset ?? undefined, base, inverse: !inverse }),
    }),
    reference: ({ x, offset }, { base, inverse }) => ({ y: rotated(x, offset, base, inverse) }),
  },
};

/** `x` `[batch, heads, tokens, dim]` with the halves of each head turned by `(offset[b] + t) · base^(−2j/dim)`. */
export function rotated(x: Tensor, offset: Tensor | null, base: number, inverse: boolean): Tensor {
  const { device, dtype } = x;
  const [, , tokens, dim] = x.shape as readonly [number, number, number, number];
  const half = dim / 2;
  const rates = Float64Array.from({ length: half }, (_, j) => base ** ((-2 * j) / dim) * (inverse ? -1 : 1));
  const times = reshape(internal.arange(0, 1, tokens, { dtype: "f64", device }), [1, 1, tokens, 1]);
  const start = offset === null ? 0 : reshape(offset.to("f64"), [x.shape[0]!, 1, 1, 1]);
  const angles = mul(times.add(start), tensor(rates, { device }));
  const [c, s] = [cos(angles).to(dtype), sin(angles).to(dtype)];
  const [first, second] = [sliced(x, -1, 0, half), sliced(x, -1, half, half)];
  return concat([sub(mul(first, c), mul(second, s)), mul(second, c).add(mul(first, s))], { axis: -1 });
}
