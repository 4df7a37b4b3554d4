//! Functions that are no ops of the table, as methods. Attached once, by index.ts.
import type { Device, DeviceLike } from "./device.js";
import type { DType, HostArrays } from "./dtype.js";
import { OP_METHODS } from "./generated/methods.js";
import * as read from "./read.js";
import { type Shape, Tensor } from "./tensor.js";
import { to } from "./to.js";

/** Reading, moving and composed functions as methods of a tensor. */
export interface ComposedMethods {
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
  /** The tensor in another dtype or on another device; itself if it is there already. */
  to<D extends DType>(dtype: D): Tensor<Shape, D>;
  to(device: DeviceLike): Tensor;
  to(target: { readonly dtype?: DType; readonly device?: DeviceLike }): Tensor;
}

const { data, dataSync, bytes, array, arraySync, item, itemSync } = read;

const METHODS = { ...OP_METHODS, data, dataSync, bytes, array, arraySync, item, itemSync, to };

type Method = (x: Tensor, ...rest: never[]) => unknown;

/** Puts every function on the prototype, with the tensor as its first argument. @internal */
export function attachMethods(): void {
  for (const [name, fn] of Object.entries(METHODS) as [string, Method][]) {
    Object.defineProperty(Tensor.prototype, name, {
      value(this: Tensor, ...rest: never[]) {
        return fn(this, ...rest);
      },
      writable: true,
      configurable: true,
    });
  }
}

export type { Device };
