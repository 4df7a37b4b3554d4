import { tensor } from "../create.js";
import { data, dataSync } from "../read.js";
import type { Shape, Tensor } from "../tensor.js";

type Values = ArrayLike<number | bigint>;

/**
 * Where the elements are that are not 0: an i32 tensor of positions for each axis, as indexing takes them.
 *
 * How many there are depends on the values, so that this reads them: a promise, with a blocking twin.
 *
 * Shapes: `x` is `[...]` with `r` axes; `r` tensors `[count]`, in row-major order. Dtypes: all; NaN is not 0.
 *
 * @example
 * ```ts
 * const [rows, columns] = await nonzero(tensor([[0, 1], [2, 0]])); // [0, 1] and [1, 0]
 * ```
 */
export async function nonzero(x: Tensor): Promise<Tensor<Shape, "i32">[]> {
  return positions(x, await data(x));
}

/** The same, blocking. */
export function nonzeroSync(x: Tensor): Tensor<Shape, "i32">[] {
  return positions(x, dataSync(x));
}

function positions(x: Tensor, values: Values): Tensor<Shape, "i32">[] {
  const flat = nonzeroFlat(values);
  let inner = x.size;
  return x.shape.map((dim) => {
    inner /= Math.max(dim, 1);
    const along = flat.map((at) => Math.floor(at / inner) % dim);
    return tensor(along, { dtype: "i32", device: x.device });
  });
}

/** Row-major positions of what is not 0. @internal */
export function nonzeroFlat(values: Values): Int32Array {
  let count = 0;
  for (let i = 0; i < values.length; i++) if (isSet(values[i]!)) count++;
  const flat = new Int32Array(count);
  for (let i = 0, at = 0; i < values.length; i++) if (isSet(values[i]!)) flat[at++] = i;
  return flat;
}

const isSet = (value: number | bigint): boolean => value !== 0 && value !== 0n;
