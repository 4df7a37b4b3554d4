import { tensor } from "../create.js";
import type { DType, HostArrays } from "../dtype.js";
import { data, dataSync } from "../read.js";
import type { Shape, Tensor } from "../tensor.js";

/** What {@link unique} finds. */
export interface Unique<D extends DType = DType> {
  /** Each value once, in rising order; NaN once, last. */
  readonly values: Tensor<Shape, D>;
  /** For each element of `x` the position of its value. */
  readonly inverse: Tensor<Shape, "i32">;
  /** How often each value is there. */
  readonly counts: Tensor<Shape, "i32">;
}

/**
 * The different values of a tensor, where each element's value is among them, and how often each occurs.
 *
 * How many there are depends on the values, so that this reads them: a promise, with a blocking twin.
 *
 * Shapes: `x` and `inverse` are `[...]`, `values` and `counts` are `[count]`. Dtypes: all.
 *
 * @example
 * ```ts
 * const { values, counts } = await unique(tensor([3, 1, 3])); // [1, 3] and [1, 2]
 * ```
 */
export async function unique<D extends DType>(x: Tensor<Shape, D>): Promise<Unique<D>> {
  return collect(x, await data(x));
}

/** The same, blocking. */
export function uniqueSync<D extends DType>(x: Tensor<Shape, D>): Unique<D> {
  return collect(x, dataSync(x));
}

function collect<D extends DType>(x: Tensor<Shape, D>, flat: HostArrays[D]): Unique<D> {
  // Typed arrays sort by value with NaN last; a Map takes −0 for 0 and NaN for itself.
  const sorted = flat.slice().sort() as HostArrays[D];
  const places = new Map<number | bigint, number>();
  const counts: number[] = [];
  const values = sorted.filter((value: number | bigint) => {
    const place = places.get(value);
    if (place !== undefined) {
      counts[place]!++;
      return false;
    }
    places.set(value, counts.length);
    counts.push(1);
    return true;
  }) as HostArrays[D];
  const inverse = Int32Array.from(flat as ArrayLike<number>, (value) => places.get(value)!);
  const { device } = x;
  return {
    values: tensor(values as Float32Array, { dtype: x.dtype, device }) as unknown as Tensor<Shape, D>,
    inverse: tensor(inverse, { shape: x.shape, device }),
    counts: tensor(counts, { dtype: "i32", device }),
  };
}
