//! Reading by lists and tensors of positions.
import { OpError } from "@openelm/native";
import { tensor } from "../create.js";
import type { DType } from "../dtype.js";
import { add, broadcastTo, mul, permute, reshape, take } from "../generated/ops.js";
import { arange } from "../ranges.js";
import { broadcastShapes, elements } from "../shape.js";
import type { Shape, Tensor } from "../tensor.js";
import type { Basic } from "./view.js";

/** Positions along one axis of a view. */
interface AxisIndices {
  readonly axis: number;
  readonly indices: Tensor;
}

/** The elements that several positions pick together, where NumPy puts them. */
export function gather<D extends DType>({ view, selectors, apart }: Basic<D>): Tensor<Shape, D> {
  const lists = selectors.map(({ axis, part }): AxisIndices => {
    if (part.kind === "mask") throw new OpError("INVALID_ARGUMENT", "at", "a bool index cannot stand here");
    const { indices } = part;
    const isTensor = !Array.isArray(indices) && !(indices instanceof Int32Array);
    return {
      axis,
      indices: isTensor
        ? (indices as Tensor)
        : tensor(indices as Int32Array, { dtype: "i32", device: view.device }),
    };
  });
  const [one] = lists;
  if (one === undefined) return view;
  const picked = lists.length === 1 ? take(view, one.indices, { axis: one.axis }) : gatherMany(view, lists);
  const front = lists.length === 1 ? one.axis : 0;
  const rank = lists.length === 1 ? one.indices.rank : picked.rank - view.rank + lists.length;
  return moveAxes(picked, front, apart ? 0 : one.axis, rank);
}

/** Several axes at once, which become one: their row-major positions are added up. The result's new axes come first. */
function gatherMany<D extends DType>(
  view: Tensor<Shape, D>,
  lists: readonly AxisIndices[],
): Tensor<Shape, D> {
  const shape = broadcastShapes(lists.map(({ indices }) => indices.shape));
  if (shape === undefined) {
    const shapes = lists.map(({ indices }) => `[${indices.shape.join(", ")}]`).join(", ");
    throw new OpError("SHAPE_MISMATCH", "at", `index tensors must broadcast together, got ${shapes}`);
  }
  const axes = lists.map(({ axis }) => axis);
  const rest = view.shape.map((_, i) => i).filter((i) => !axes.includes(i));
  const sizes = axes.map((axis) => view.shape[axis]!);
  const merged = reshape(permute(view, [...axes, ...rest]), [
    elements(sizes),
    ...rest.map((i) => view.shape[i]!),
  ]);
  let stride = elements(sizes);
  let flat: Tensor | undefined;
  for (const [i, { indices }] of lists.entries()) {
    stride /= Math.max(sizes[i]!, 1);
    // Looked up in a list of all positions, each index is checked against its own axis and counted from the front.
    const checked = take(arange(sizes[i]!, { dtype: "i32", device: view.device }), indices);
    const scaled = mul(checked, stride);
    flat = flat === undefined ? scaled : add(flat, scaled);
  }
  return take(merged, broadcastTo(flat!, shape)) as Tensor<Shape, D>;
}

/** `count` axes from `from` on, moved to `to` (counted without them). */
function moveAxes<D extends DType>(
  x: Tensor<Shape, D>,
  from: number,
  to: number,
  count: number,
): Tensor<Shape, D> {
  if (from === to || count === 0) return x;
  const all = x.shape.map((_, i) => i);
  const moved = all.slice(from, from + count);
  const rest = all.filter((i) => !moved.includes(i));
  return permute(x, [...rest.slice(0, to), ...moved, ...rest.slice(to)]);
}
