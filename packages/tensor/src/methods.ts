//! Functions that are no ops of the table, as methods. Attached once, by index.ts.
import { argsort } from "./composed/argsort.js";
import { expandDims } from "./composed/expand-dims.js";
import { type FlattenOptions, flatten } from "./composed/flatten.js";
import { type FlipOptions, flip } from "./composed/flip.js";
import { allclose, allcloseSync, type CloseOptions, isclose } from "./composed/isclose.js";
import { maskedFill } from "./composed/masked-fill.js";
import { maskedSelect, maskedSelectSync } from "./composed/masked-select.js";
import { nonzero, nonzeroSync } from "./composed/nonzero.js";
import { type NormOptions, norm } from "./composed/norm.js";
import { type RepeatOptions, repeat } from "./composed/repeat.js";
import { type RollOptions, roll } from "./composed/roll.js";
import { softplus } from "./composed/softplus.js";
import { chunk, type SplitOptions, split, unbind } from "./composed/split.js";
import { type SqueezeOptions, squeeze } from "./composed/squeeze.js";
import { tile } from "./composed/tile.js";
import { transpose } from "./composed/transpose.js";
import { type Unique, unique, uniqueSync } from "./composed/unique.js";
import { std, type VarianceOptions, variance } from "./composed/variance.js";
import type { DeviceLike } from "./device.js";
import type { DType, HostArrays } from "./dtype.js";
import type { Operand } from "./funnel.js";
import { OP_METHODS } from "./generated/methods.js";
import type { SortOptions } from "./generated/ops.js";
import { at, atSync, type MaskIndex } from "./indexing/at.js";
import type { IndexItem } from "./indexing/parse.js";
import { setAt } from "./indexing/set-at.js";
import { format, inspect } from "./print/format.js";
import { type DropoutOptions, dropout } from "./random.js";
import * as read from "./read.js";
import type { FloatDType } from "./result-dtype.js";
import { type Shape, Tensor } from "./tensor.js";
import { to } from "./to.js";

type Mask = Tensor<Shape, "bool">;

/** Reading, moving and composed functions as methods of a tensor. */
export interface ComposedMethods {
  // reading
  /** The values in row-major order; halves come as f32, i64 as bigint, bool as 0 and 1. */
  data<D extends DType>(this: Tensor<Shape, D>): Promise<HostArrays[D]>;
  /** The same, blocking. */
  dataSync<D extends DType>(this: Tensor<Shape, D>): HostArrays[D];
  /** The raw bytes in row-major order, little-endian. */
  bytes(): Promise<Uint8Array>;
  /** Nested arrays of the values. */
  array(options?: read.ArrayOptions): Promise<read.NestedArray>;
  /** The same, blocking. */
  arraySync(options?: read.ArrayOptions): read.NestedArray;
  /** The one value of a tensor with one element. */
  item(): Promise<number>;
  /** The same, blocking. */
  itemSync(): number;
  /** The values as NumPy prints them; reads and blocks, for people. */
  toString(): string;
  /** The tensor in another dtype or on another device; itself if it is there already. */
  to<D extends DType>(dtype: D): Tensor<Shape, D>;
  to<D extends DType>(this: Tensor<Shape, D>, device: DeviceLike): Tensor<Shape, D>;
  to(target: { readonly dtype?: DType; readonly device?: DeviceLike }): Tensor;

  // indexing
  /**
   * Elements by NumPy's rules: numbers, ranges `"start:stop:step"`, `"..."`, `null` for a new axis, lists and integer
   * tensors. A view unless a list or tensor picks; a promise if a bool tensor does.
   */
  at<D extends DType>(this: Tensor<Shape, D>, ...index: readonly IndexItem[]): Tensor<Shape, D>;
  at<D extends DType>(this: Tensor<Shape, D>, ...index: MaskIndex): Promise<Tensor<Shape, D>>;
  /** The same with the values of bool tensors read at once, blocking. */
  atSync<D extends DType>(this: Tensor<Shape, D>, ...index: readonly (IndexItem | Mask)[]): Tensor<Shape, D>;
  /** Writes a value, which broadcasts, where an index points. Changes the tensor and all views of it. */
  setAt(index: readonly (IndexItem | Mask)[], value: Operand): void;

  // shape
  /** A view with two axes swapped, the last two unless others are named. */
  transpose<D extends DType>(this: Tensor<Shape, D>, a?: number, b?: number): Tensor<Shape, D>;
  /** A view with new axes of size 1 at the named positions of the result. */
  expandDims<D extends DType>(this: Tensor<Shape, D>, axis: number | readonly number[]): Tensor<Shape, D>;
  /** A view without axes of size 1: the named ones or all. */
  squeeze<D extends DType>(this: Tensor<Shape, D>, options?: SqueezeOptions): Tensor<Shape, D>;
  /** The axes from `start` to `end` merged into one. */
  flatten<D extends DType>(this: Tensor<Shape, D>, options?: FlattenOptions): Tensor<Shape, D>;
  /** A view with the elements along the axes in reverse order. */
  flip<D extends DType>(this: Tensor<Shape, D>, options?: FlipOptions): Tensor<Shape, D>;
  /** Views of so many equal parts, or of pieces of the given sizes. */
  split<D extends DType>(
    this: Tensor<Shape, D>,
    parts: number | readonly number[],
    options?: SplitOptions,
  ): Tensor<Shape, D>[];
  /** At most `count` views of one size, the last of which may be shorter. */
  chunk<D extends DType>(this: Tensor<Shape, D>, count: number, options?: SplitOptions): Tensor<Shape, D>[];
  /** A view of each slice along an axis: the way to iterate. */
  unbind<D extends DType>(this: Tensor<Shape, D>, axis?: number): Tensor<Shape, D>[];
  /** Each element so many times in a row. */
  repeat<D extends DType>(
    this: Tensor<Shape, D>,
    repeats: number | readonly number[],
    options?: RepeatOptions,
  ): Tensor<Shape, D>;
  /** The whole tensor so many times along each axis. */
  tile<D extends DType>(this: Tensor<Shape, D>, repeats: number | readonly number[]): Tensor<Shape, D>;
  /** The elements moved along an axis, round its ends. */
  roll<D extends DType>(
    this: Tensor<Shape, D>,
    shift: number | readonly number[],
    options?: RollOptions,
  ): Tensor<Shape, D>;

  // values
  /** The mean squared distance from the mean along `axis`. */
  variance<D extends DType>(this: Tensor<Shape, D>, options?: VarianceOptions): Tensor<Shape, FloatDType<D>>;
  /** The square root of the variance. */
  std<D extends DType>(this: Tensor<Shape, D>, options?: VarianceOptions): Tensor<Shape, FloatDType<D>>;
  /** `(Σ |x|ᵖ)^(1/p)` along `axis`. */
  norm<D extends DType>(this: Tensor<Shape, D>, options?: NormOptions): Tensor<Shape, FloatDType<D>>;
  /** The positions that sort the elements along `axis`. */
  argsort(options?: SortOptions): Tensor<Shape, "i32">;
  /** `log(1 + eˣ)`, elementwise. */
  softplus<D extends DType>(this: Tensor<Shape, D>): Tensor<Shape, FloatDType<D>>;
  /** `value` where the mask holds, the tensor elsewhere. */
  maskedFill<D extends DType>(
    this: Tensor<Shape, D>,
    mask: Mask,
    value: number | bigint | boolean,
  ): Tensor<Shape, D>;
  /** Each element 0 with probability `p`, else scaled by `1 / (1 − p)`. */
  dropout<D extends DType>(this: Tensor<Shape, D>, options?: DropoutOptions): Tensor<Shape, FloatDType<D>>;
  /** Whether elements are within a tolerance of each other. */
  isclose(other: Tensor, options?: CloseOptions): Mask;
  /** Whether all of them are. */
  allclose(other: Tensor, options?: CloseOptions): Promise<boolean>;
  /** The same, blocking. */
  allcloseSync(other: Tensor, options?: CloseOptions): boolean;

  // results whose size depends on values
  /** Where the elements are that are not 0: positions for each axis. */
  nonzero(): Promise<Tensor<Shape, "i32">[]>;
  /** The same, blocking. */
  nonzeroSync(): Tensor<Shape, "i32">[];
  /** The elements where the mask holds, in row-major order. */
  maskedSelect<D extends DType>(this: Tensor<Shape, D>, mask: Mask): Promise<Tensor<Shape, D>>;
  /** The same, blocking. */
  maskedSelectSync<D extends DType>(this: Tensor<Shape, D>, mask: Mask): Tensor<Shape, D>;
  /** The different values, where each element's is among them, and how often each occurs. */
  unique<D extends DType>(this: Tensor<Shape, D>): Promise<Unique<D>>;
  /** The same, blocking. */
  uniqueSync<D extends DType>(this: Tensor<Shape, D>): Unique<D>;
}

const { data, dataSync, bytes, array, arraySync, item, itemSync } = read;

const METHODS = {
  ...OP_METHODS,
  ...{ data, dataSync, bytes, array, arraySync, item, itemSync, toString: format, to },
  ...{ at, atSync, setAt },
  ...{ transpose, expandDims, squeeze, flatten, flip, split, chunk, unbind, repeat, tile, roll },
  ...{ variance, std, norm, argsort, softplus, maskedFill, dropout, isclose, allclose, allcloseSync },
  ...{ nonzero, nonzeroSync, maskedSelect, maskedSelectSync, unique, uniqueSync },
} satisfies Record<keyof ComposedMethods, unknown>;

type Method = (x: Tensor, ...rest: never[]) => unknown;

/** Puts every function on the prototype, with the tensor as its first argument. @internal */
export function attachMethods(): void {
  for (const [name, fn] of Object.entries(METHODS) as [string, Method][]) {
    attach(name, function (this: Tensor, ...rest: never[]) {
      return fn(this, ...rest);
    });
  }
  attach(Symbol.for("nodejs.util.inspect.custom"), function (this: Tensor) {
    return inspect(this);
  });
}

function attach(name: string | symbol, value: (this: Tensor, ...rest: never[]) => unknown): void {
  Object.defineProperty(Tensor.prototype, name, { value, writable: true, configurable: true });
}
