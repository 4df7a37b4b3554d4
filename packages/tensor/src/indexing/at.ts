import { nonzero, nonzeroSync } from "../composed/nonzero.js";
import type { DType } from "../dtype.js";
import type { Shape, Tensor } from "../tensor.js";
import { gather } from "./gather.js";
import { type IndexItem, parseIndex } from "./parse.js";
import { basicView } from "./view.js";

/** An index with a bool tensor in it, whose result's size depends on values. */
export type MaskIndex = readonly [Tensor<Shape, "bool">, ...(IndexItem | Tensor<Shape, "bool">)[]];

/**
 * Elements by NumPy's rules of indexing.
 *
 * Numbers take one position of an axis (negative from the end), strings a range `"start:stop:step"`, `"..."` all axes
 * that are not named, `null` makes a new axis. These give a view. A list or integer tensor picks positions along its
 * axis, several of them together; the result is then a copy. A bool tensor picks where it holds, which takes reading
 * it: then the result is a promise (`atSync` blocks instead).
 *
 * @throws OpError `INDEX_OUT_OF_RANGE` naming index, axis and size.
 * @example
 * ```ts
 * const x = arange(12).reshape([3, 4]);
 * await x.at(1, "::2").array(); // [4, 6]
 * await x.at("...", -1).array(); // [3, 7, 11]
 * await x.at([0, 2], [1, 3]).array(); // [1, 11]
 * await (await x.at(x.gt(9))).array(); // [10, 11]
 * ```
 */
export function at<D extends DType>(x: Tensor<Shape, D>, ...index: readonly IndexItem[]): Tensor<Shape, D>;
export function at<D extends DType>(x: Tensor<Shape, D>, ...index: MaskIndex): Promise<Tensor<Shape, D>>;
export function at<D extends DType>(
  x: Tensor<Shape, D>,
  ...index: readonly (IndexItem | Tensor)[]
): Tensor<Shape, D> | Promise<Tensor<Shape, D>>;
export function at<D extends DType>(
  x: Tensor<Shape, D>,
  ...index: readonly (IndexItem | Tensor)[]
): Tensor<Shape, D> | Promise<Tensor<Shape, D>> {
  const parts = parseIndex("at", x.shape, index);
  if (!parts.some(({ kind }) => kind === "mask")) return gather(basicView(x, parts));
  const found = index.map(async (item) => (isMask(item) ? await nonzero(item) : [item as IndexItem]));
  return Promise.all(found).then((items) =>
    gather(basicView(x, parseIndex("at", x.shape, items.flat<IndexItem[][]>()))),
  );
}

/** The same with the values of bool tensors read at once, blocking. */
export function atSync<D extends DType>(
  x: Tensor<Shape, D>,
  ...index: readonly (IndexItem | Tensor<Shape, "bool">)[]
): Tensor<Shape, D> {
  parseIndex("at", x.shape, index);
  const items = index.flatMap((item): readonly IndexItem[] => (isMask(item) ? nonzeroSync(item) : [item]));
  return gather(basicView(x, parseIndex("at", x.shape, items)));
}

const isMask = (item: IndexItem | Tensor): item is Tensor<Shape, "bool"> =>
  typeof item === "object" && item !== null && "dtype" in item && item.dtype === "bool";
