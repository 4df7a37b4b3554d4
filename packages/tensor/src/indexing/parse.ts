//! What the items of an index mean, before any tensor is touched.
import { OpError } from "@openelm/native";
import type { Shape } from "../tensor.js";
import { Tensor } from "../tensor.js";

/**
 * One item of an index: a position, a range such as `"1:5:2"`, `"..."` for all axes not named, `null` for a new axis,
 * or positions in a list or an integer tensor.
 */
export type IndexItem =
  | number
  | string
  | null
  | readonly number[]
  | Int32Array
  | Tensor<Shape, "i32" | "i64" | "u32" | "i8" | "u8">;

/** An item that is tied to its axis. */
export type Part =
  | { readonly kind: "at"; readonly axis: number; readonly position: number }
  | {
      readonly kind: "range";
      readonly axis: number;
      readonly start: number;
      readonly size: number;
      readonly step: number;
    }
  | { readonly kind: "new" }
  /** Positions along one axis. */
  | {
      readonly kind: "list";
      readonly axis: number;
      readonly indices: Tensor | readonly number[] | Int32Array;
    }
  /** A bool tensor over as many axes as it has. */
  | { readonly kind: "mask"; readonly axis: number; readonly mask: Tensor };

type Item = IndexItem | Tensor;

const isMask = (item: Item): item is Tensor => item instanceof Tensor && item.dtype === "bool";

/** How many axes an item takes. */
const width = (item: Item): number => (item === null || item === "..." ? 0 : isMask(item) ? item.rank : 1);

/** Ties the items to axes; axes that no item names are taken whole. */
export function parseIndex(op: string, shape: Shape, items: readonly Item[]): Part[] {
  const ellipses = items.filter((item) => item === "...").length;
  if (ellipses > 1) throw new OpError("INVALID_ARGUMENT", op, 'an index may have one "..." only');
  const named = items.reduce<number>((total, item) => total + width(item), 0);
  if (named > shape.length) {
    throw new OpError(
      "INVALID_ARGUMENT",
      op,
      `${named} indices are too many for the shape [${shape.join(", ")}]`,
    );
  }
  const whole = ellipses === 0 ? [...items, "..."] : items;
  const parts: Part[] = [];
  let axis = 0;
  for (const item of whole) {
    if (item === "...") {
      for (let rest = shape.length - named; rest > 0; rest--) {
        parts.push({ kind: "range", axis, start: 0, size: shape[axis]!, step: 1 });
        axis++;
      }
      continue;
    }
    parts.push(part(op, item, axis, shape));
    axis += width(item);
  }
  return parts;
}

function part(op: string, item: Item, axis: number, shape: Shape): Part {
  const size = shape[axis]!;
  if (item === null) return { kind: "new" };
  if (typeof item === "number") return { kind: "at", axis, position: position(op, item, axis, size) };
  if (typeof item === "string") return { kind: "range", axis, ...range(op, item, size) };
  if (!(item instanceof Tensor)) {
    if (!Array.isArray(item) && !(item instanceof Int32Array)) throw unknownItem(op, item);
    return {
      kind: "list",
      axis,
      indices: Array.from(item as readonly number[], (one) => position(op, one, axis, size)),
    };
  }
  if (item.dtype === "bool") return { kind: "mask", axis, mask: checkedMask(op, item, axis, shape) };
  if (!["i32", "i64", "u32", "i8", "u8"].includes(item.dtype)) {
    throw new OpError("DTYPE_MISMATCH", op, `an index tensor must hold integers or bool, got ${item.dtype}`);
  }
  return { kind: "list", axis, indices: item };
}

const unknownItem = (op: string, item: unknown): OpError =>
  new OpError(
    "INVALID_ARGUMENT",
    op,
    `an index is a number, a range such as "1:5", "...", null, a list or a tensor; got ${JSON.stringify(item) ?? String(item)}`,
  );

/** An index counted from the front. */
function position(op: string, index: number, axis: number, size: number): number {
  if (!Number.isInteger(index))
    throw new OpError("INVALID_ARGUMENT", op, `index ${index} of axis ${axis} is no whole number`);
  const wrapped = index < 0 ? index + size : index;
  if (wrapped >= 0 && wrapped < size) return wrapped;
  throw new OpError(
    "INDEX_OUT_OF_RANGE",
    op,
    `index ${index} is out of range for axis ${axis} of size ${size}`,
  );
}

function checkedMask(op: string, mask: Tensor, axis: number, shape: Shape): Tensor {
  const covered = shape.slice(axis, axis + mask.rank);
  if (mask.rank > 0 && mask.shape.every((dim, i) => dim === covered[i])) return mask;
  const shapes = `[${covered.join(", ")}], got [${mask.shape.join(", ")}]`;
  throw new OpError(
    "SHAPE_MISMATCH",
    op,
    `a bool index must have the shape of the axes that it stands for, ${shapes}`,
  );
}

const RANGE = /^([+-]?\d+)?:([+-]?\d+)?(?::([+-]?\d+)?)?$/;

/** `"start:stop:step"` as in Python: negative from the end, bounds past the ends cut off. */
function range(op: string, text: string, size: number): { start: number; size: number; step: number } {
  const match = RANGE.exec(text.replaceAll(/\s/g, ""));
  if (match === null) {
    throw new OpError(
      "INVALID_ARGUMENT",
      op,
      `"${text}" is no range; write "start:stop:step", each of which may be absent, or "..."`,
    );
  }
  const [first, last, step = 1] = match
    .slice(1)
    .map((part) => (part === undefined ? undefined : Number(part)));
  if (step === 0) throw new OpError("INVALID_ARGUMENT", op, `"${text}": the step must not be 0`);
  const [low, high] = step > 0 ? [0, size] : [-1, size - 1];
  const bound = (value: number | undefined, absent: number): number =>
    value === undefined ? absent : Math.min(Math.max(value < 0 ? value + size : value, low), high);
  const start = bound(first, step > 0 ? low : high);
  const stop = bound(last, step > 0 ? high : low);
  const count = Math.max(0, Math.ceil((stop - start) / step));
  // An empty range may lie past the end, where a view must not begin.
  return { start: count === 0 ? 0 : start, size: count, step };
}
