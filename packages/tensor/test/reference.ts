//! Plain arrays with NumPy's rules, slow and clear: what the tensors are compared with.
import type { NestedArray } from "../src/index.js";

/** Values in row-major order. */
export interface Nd {
  readonly shape: readonly number[];
  readonly values: readonly number[];
}

export const count = (shape: readonly number[]): number => shape.reduce((product, dim) => product * dim, 1);

/** 0, 1, 2, … in a shape. */
export const iota = (shape: readonly number[]): Nd => ({
  shape,
  values: Array.from({ length: count(shape) }, (_, i) => i),
});

/** Every index of a shape, row-major. */
export function* indices(shape: readonly number[]): Generator<number[]> {
  const total = count(shape);
  for (let flat = 0; flat < total; flat++) {
    const index = new Array<number>(shape.length);
    let rest = flat;
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      index[axis] = rest % shape[axis]!;
      rest = Math.floor(rest / shape[axis]!);
    }
    yield index;
  }
}

export const offset = (shape: readonly number[], index: readonly number[]): number =>
  index.reduce((flat, i, axis) => flat * shape[axis]! + i, 0);

/** An array of `shape` with `f` of every index. */
export function build(shape: readonly number[], f: (index: number[]) => number): Nd {
  return { shape, values: Array.from(indices(shape), f) };
}

export const get = ({ shape, values }: Nd, index: readonly number[]): number => values[offset(shape, index)]!;

export function nested({ shape, values }: Nd): NestedArray {
  let at = 0;
  const level = (axis: number): NestedArray =>
    axis === shape.length ? values[at++]! : Array.from({ length: shape[axis]! }, () => level(axis + 1));
  return level(0);
}

/** Numbers of [0, n) that a seed determines. */
export function dice(seed: number): (n: number) => number {
  let state = seed >>> 0;
  return (n) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * n);
  };
}
