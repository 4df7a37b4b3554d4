//! Arithmetic of shapes and axes on the host, with the errors that composed functions share.
import { OpError } from "@openelm/native";
import type { Shape } from "./tensor.js";

/** How many elements a shape has. */
export const elements = (shape: Shape): number => shape.reduce((product, dim) => product * dim, 1);

/**
 * An axis counted from the front.
 *
 * @throws OpError `INVALID_ARGUMENT` naming the op, the axis and what is allowed.
 */
export function axisOf(op: string, axis: number, rank: number): number {
  const wrapped = axis < 0 ? axis + rank : axis;
  if (Number.isInteger(wrapped) && wrapped >= 0 && wrapped < rank) return wrapped;
  const allowed = rank === 0 ? "the tensor has none" : `allowed: ${-rank} to ${rank - 1}`;
  throw new OpError("INVALID_ARGUMENT", op, `axis ${axis} is out of range for ${rank} axes (${allowed})`);
}

/** One or several axes counted from the front, none twice; all when absent. */
export function axesOf(op: string, axis: number | readonly number[] | undefined, rank: number): number[] {
  if (axis === undefined) return Array.from({ length: rank }, (_, i) => i);
  const axes = (typeof axis === "number" ? [axis] : axis).map((one) => axisOf(op, one, rank));
  if (new Set(axes).size !== axes.length) {
    throw new OpError("INVALID_ARGUMENT", op, `axis names one axis twice: [${axes.join(", ")}]`);
  }
  return axes;
}

/** `shape` with the size of one axis replaced. */
export const withDim = (shape: Shape, axis: number, dim: number): number[] =>
  shape.map((old, i) => (i === axis ? dim : old));

/** The shape that all broadcast to, or `undefined` if they do not. */
export function broadcastShapes(shapes: readonly Shape[]): number[] | undefined {
  const rank = Math.max(0, ...shapes.map((shape) => shape.length));
  const result = new Array<number>(rank).fill(1);
  for (const shape of shapes) {
    for (const [i, dim] of shape.entries()) {
      const at = rank - shape.length + i;
      if (result[at] === 1) result[at] = dim;
      else if (dim !== 1 && dim !== result[at]) return undefined;
    }
  }
  return result;
}

/** A whole number that is not negative, as counts and sizes are. */
export function checkCount(op: string, name: string, value: number): void {
  if (!Number.isSafeInteger(value) || value < 0) {
    throw new OpError("INVALID_ARGUMENT", op, `${name} must be a whole number from 0, got ${value}`);
  }
}
