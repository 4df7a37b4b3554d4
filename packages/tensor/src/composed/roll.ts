import { OpError } from "@openelm/native";
import type { DType } from "../dtype.js";
import { concat, reshape } from "../generated/ops.js";
import { axisOf } from "../shape.js";
import type { Shape, Tensor } from "../tensor.js";
import { flatten } from "./flatten.js";
import { split } from "./split.js";

/** Options of {@link roll}. */
export interface RollOptions {
  /** The axis or axes; the flattened tensor when absent. */
  readonly axis?: number | readonly number[] | undefined;
}

/**
 * The elements moved along an axis; those that leave at one end come in at the other.
 *
 * Shapes: `x` and `y` are `[...]`; several axes take as many shifts. Dtypes: all.
 *
 * @example
 * ```ts
 * await roll(tensor([1, 2, 3]), 1).array(); // [3, 1, 2]
 * ```
 */
export function roll<D extends DType>(
  x: Tensor<Shape, D>,
  shift: number | readonly number[],
  { axis }: RollOptions = {},
): Tensor<Shape, D> {
  const shifts = typeof shift === "number" ? [shift] : shift;
  if (!shifts.every(Number.isInteger)) {
    throw new OpError("INVALID_ARGUMENT", "roll", `shift must be whole numbers, got ${shifts.join(", ")}`);
  }
  if (axis === undefined) {
    const total = shifts.reduce((sum, one) => sum + one, 0);
    return reshape(roll(flatten(x), total, { axis: 0 }), x.shape);
  }
  const axes = typeof axis === "number" ? [axis] : axis;
  if (shifts.length !== axes.length && shifts.length !== 1) {
    throw new OpError("INVALID_ARGUMENT", "roll", `${shifts.length} shifts do not fit ${axes.length} axes`);
  }
  return axes.reduce(
    (rolled, one, i) => rollOne(rolled, shifts[i] ?? shifts[0]!, axisOf("roll", one, x.rank)),
    x,
  );
}

function rollOne<D extends DType>(x: Tensor<Shape, D>, shift: number, axis: number): Tensor<Shape, D> {
  const size = x.shape[axis]!;
  const back = size === 0 ? 0 : ((shift % size) + size) % size;
  if (back === 0) return x;
  const [head, tail] = split(x, [size - back, back], { axis });
  return concat([tail!, head!], { axis }) as Tensor<Shape, D>;
}
