//! NumPy's indexing over plain arrays, written from its documentation: every result element's source index.
import { build, count, get, type Nd } from "./reference.js";

/** A list of positions of a shape. */
export interface List {
  readonly shape: readonly number[];
  readonly positions: readonly number[];
}

export type Item = number | string | null | List;

const isList = (item: Item): item is List => typeof item === "object" && item !== null;

/** Python's `range(*slice(start, stop, step).indices(size))`. */
export function pythonRange(text: string, size: number): number[] {
  const [first, last, third] = text.split(":").map((part) => (part === "" ? undefined : Number(part)));
  const step = third ?? 1;
  const clip = (value: number, low: number, high: number): number =>
    Math.min(Math.max(value < 0 ? value + size : value, low), high);
  const out: number[] = [];
  if (step > 0) {
    const stop = last === undefined ? size : clip(last, 0, size);
    for (let i = first === undefined ? 0 : clip(first, 0, size); i < stop; i += step) out.push(i);
  } else {
    const stop = last === undefined ? -1 : clip(last, -1, size - 1);
    for (let i = first === undefined ? size - 1 : clip(first, -1, size - 1); i > stop; i += step) out.push(i);
  }
  return out;
}

/** Where each element of the result comes from. */
export function sources(
  shape: readonly number[],
  index: readonly Item[],
): { shape: number[]; source: (at: number[]) => number[] } {
  const named = index.filter((item) => item !== null && item !== "...").length;
  const withEllipsis = index.includes("...") ? index : [...index, "..."];
  const items = withEllipsis.flatMap((item): Item[] =>
    item === "..." ? new Array<Item>(shape.length - named).fill(":") : [item],
  );
  const lists = items.filter(isList);
  const rank = Math.max(0, ...lists.map((list) => list.shape.length));
  const together = Array.from({ length: lists.length === 0 ? 0 : rank }, (_, i) =>
    lists.reduce((dim, list) => {
      const own = list.shape[i - (rank - list.shape.length)] ?? 1;
      return dim === 1 ? own : dim;
    }, 1),
  );
  // With a list in the index, numbers count as lists for the question where the lists' axes go.
  const picks = items.map((item) => isList(item) || (lists.length > 0 && typeof item === "number"));
  const first = picks.indexOf(true);
  const apart = first >= 0 && picks.slice(first, picks.lastIndexOf(true)).includes(false);
  const out: number[] = [];
  let at = -1;
  let axis = 0;
  const readers: ((index: number[]) => number)[] = [];
  if (lists.length > 0 && (apart || first === 0)) {
    at = 0;
    out.push(...together);
  }
  for (const [i, item] of items.entries()) {
    if (picks[i] && at < 0) {
      at = out.length;
      out.push(...together);
    }
    if (item === null) {
      out.push(1);
      continue;
    }
    const size = shape[axis++]!;
    if (typeof item === "number") readers.push(() => (item < 0 ? item + size : item));
    else if (typeof item === "string") {
      const range = pythonRange(item, size);
      const place = out.length;
      out.push(range.length);
      readers.push((index) => range[index[place]!]!);
    } else {
      readers.push((index) => {
        const inner = item.shape.reduce((flat, dim, j) => {
          const k = index[at + rank - item.shape.length + j]!;
          return flat * dim + (dim === 1 ? 0 : k);
        }, 0);
        const position = item.positions[inner]!;
        return position < 0 ? position + size : position;
      });
    }
  }
  return { shape: out, source: (index) => readers.map((read) => read(index)) };
}

export function index(x: Nd, items: readonly Item[]): Nd {
  const { shape, source } = sources(x.shape, items);
  return build(shape, (at) => get(x, source(at)));
}

export const sizeOf = (shape: readonly number[], items: readonly Item[]): number =>
  count(sources(shape, items).shape);
