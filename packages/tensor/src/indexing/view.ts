//! The part of an index that needs no copy.
import type { DType } from "../dtype.js";
import { slice, view } from "../generated/internal.js";
import type { Shape, Tensor } from "../tensor.js";
import type { Part } from "./parse.js";

/** What a list or mask stands for, with its axis in the view. */
export interface Selector {
  readonly axis: number;
  readonly part: Extract<Part, { kind: "list" | "mask" }>;
}

/** A view with all positions, ranges and new axes done, and the selectors that are left. */
export interface Basic<D extends DType> {
  readonly view: Tensor<Shape, D>;
  readonly selectors: readonly Selector[];
  /** Whether a range or new axis lies between two of positions, lists and masks: NumPy then puts their axes first. */
  readonly apart: boolean;
}

export function basicView<D extends DType>(x: Tensor<Shape, D>, parts: readonly Part[]): Basic<D> {
  const cut = { starts: x.shape.map(() => 0), sizes: [...x.shape], steps: x.shape.map(() => 1) };
  const shape: number[] = [];
  const selectors: Selector[] = [];
  for (const part of parts) {
    switch (part.kind) {
      case "new":
        shape.push(1);
        break;
      case "at":
        cut.starts[part.axis] = part.position;
        cut.sizes[part.axis] = 1;
        break;
      case "range":
        cut.starts[part.axis] = part.start;
        cut.sizes[part.axis] = part.size;
        cut.steps[part.axis] = part.step;
        shape.push(part.size);
        break;
      default:
        selectors.push({ axis: shape.length, part });
        shape.push(...x.shape.slice(part.axis, part.axis + (part.kind === "list" ? 1 : part.mask.rank)));
    }
  }
  const whole = cut.sizes.every((dim, i) => dim === x.shape[i] && cut.steps[i] === 1);
  const sliced = whole ? x : slice(x, cut);
  const same = shape.length === x.rank && shape.every((dim, i) => dim === sliced.shape[i]);
  return { view: same ? sliced : view(sliced, shape), selectors, apart: areApart(parts) };
}

function areApart(parts: readonly Part[]): boolean {
  const picks = parts.map(({ kind }) => kind === "at" || kind === "list" || kind === "mask");
  const first = picks.indexOf(true);
  return first >= 0 && picks.slice(first, picks.lastIndexOf(true)).includes(false);
}
