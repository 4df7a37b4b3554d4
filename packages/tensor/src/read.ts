//! From a device to JavaScript. A read sees the values as they are at the time of the call.
import { OpError, UsageError } from "@openelm/native";
import { core, finishRead } from "./core.js";
import { type DType, type HostArrays, type HostDType, hostArray, isHalf } from "./dtype.js";
import { execute, intercept } from "./funnel.js";
import { castOp } from "./generated/table.js";
import type { Shape, Tensor } from "./tensor.js";

/** Values as nested arrays: a number for no axes, a list for one, and so on. */
export type NestedArray = number | bigint | boolean | NestedArray[];

export interface ArrayOptions {
  /** i64 as bigint instead of numbers, which end at 2⁵³. */
  readonly bigint?: boolean;
}

type HostArray<D extends DType> = HostArrays[D];

/** A dtype of which the host has a typed array, and a tensor of it. */
function readable(tensor: Tensor): { source: Tensor; dtype: HostDType } {
  const { dtype } = tensor;
  if (!isHalf(dtype)) return { source: tensor, dtype };
  // The core widens faster than JavaScript, and off its thread.
  return { source: intercept(null, () => execute(castOp, [tensor], ["f32"], 1)[0]!), dtype: "f32" };
}

/** The values in row-major order; halves come as f32. */
export async function data<D extends DType>(tensor: Tensor<Shape, D>): Promise<HostArray<D>> {
  const { source, dtype } = readable(tensor);
  const token = core.readStart(source._live);
  if (source !== tensor) source.dispose();
  return (await finishRead(token, hostArray(dtype, tensor.size))) as HostArray<D>;
}

/** The same, blocking. */
export function dataSync<D extends DType>(tensor: Tensor<Shape, D>): HostArray<D> {
  const { source, dtype } = readable(tensor);
  const into = hostArray(dtype, tensor.size);
  core.readSync(source._live, into);
  if (source !== tensor) source.dispose();
  return into as HostArray<D>;
}

/** The raw bytes in row-major order, little-endian. */
export function bytes(tensor: Tensor): Promise<Uint8Array> {
  return finishRead(core.readStart(tensor._live), new Uint8Array(tensor.byteLength));
}

/** Nested arrays of the values. */
export async function array(tensor: Tensor, options?: ArrayOptions): Promise<NestedArray> {
  return nest(await data(tensor), tensor.shape, tensor.dtype, options);
}

/** The same, blocking. */
export const arraySync = (tensor: Tensor, options?: ArrayOptions): NestedArray =>
  nest(dataSync(tensor), tensor.shape, tensor.dtype, options);

/**
 * The one value of a tensor with one element.
 *
 * @throws UsageError if it has more or none.
 */
export async function item(tensor: Tensor): Promise<number> {
  checkItem(tensor);
  return single(await data(tensor), tensor.dtype);
}

/** The same, blocking. */
export function itemSync(tensor: Tensor): number {
  checkItem(tensor);
  return single(dataSync(tensor), tensor.dtype);
}

function checkItem({ size, shape }: Tensor): void {
  if (size !== 1)
    throw new UsageError(`item() wants one element, the tensor has shape [${shape.join(", ")}]`);
}

function single(values: ArrayLike<number | bigint>, dtype: DType): number {
  return convert(values[0]!, dtype, {}) as number;
}

function convert(value: number | bigint, dtype: DType, { bigint }: ArrayOptions): number | bigint | boolean {
  if (dtype === "bool") return value !== 0;
  if (typeof value === "number" || bigint) return value;
  const number = Number(value);
  if (Number.isSafeInteger(number)) return number;
  throw new OpError(
    "NOT_REPRESENTABLE",
    "read",
    `${value} is past 2⁵³; read it with { bigint: true } or data()`,
  );
}

/** @internal */
export function nest(
  values: ArrayLike<number | bigint>,
  shape: Shape,
  dtype: DType,
  options: ArrayOptions = {},
): NestedArray {
  let at = 0;
  const build = (axis: number): NestedArray =>
    axis === shape.length
      ? convert(values[at++]!, dtype, options)
      : Array.from({ length: shape[axis]! }, () => build(axis + 1));
  return build(0);
}
