//! Tensors from host values.
import { OpError } from "@openelm/native";
import { defaults } from "./defaults.js";
import { type DeviceLike, device as deviceOf } from "./device.js";
import { DTYPE_INFO, type DType, type HostDType, hostArray, isHalf } from "./dtype.js";
import type { Shape, Tensor } from "./tensor.js";
import { upload } from "./upload.js";

/** Where and of which dtype a new tensor is. */
export interface CreateOptions<D extends DType = DType> {
  readonly dtype?: D | undefined;
  readonly device?: DeviceLike | undefined;
}

type TypedArray =
  | Float64Array
  | Float32Array
  | BigInt64Array
  | Int32Array
  | Uint32Array
  | Int8Array
  | Uint8Array
  | Uint8ClampedArray;

/** Numbers, nested as deep as the tensor has axes, or a typed array. */
export type TensorData = number | bigint | boolean | TypedArray | readonly TensorData[];

/** The dtype that values have when none is asked for. */
export type InferDType<T> = T extends Float64Array
  ? "f64"
  : T extends Float32Array
    ? "f32"
    : T extends BigInt64Array | bigint
      ? "i64"
      : T extends Int32Array
        ? "i32"
        : T extends Uint32Array
          ? "u32"
          : T extends Int8Array
            ? "i8"
            : T extends Uint8Array | Uint8ClampedArray
              ? "u8"
              : T extends boolean
                ? "bool"
                : T extends number
                  ? "f32"
                  : T extends
                        | readonly number[]
                        | readonly (readonly number[])[]
                        | readonly (readonly (readonly number[])[])[]
                    ? "f32"
                    : T extends readonly boolean[] | readonly (readonly boolean[])[]
                      ? "bool"
                      : T extends readonly bigint[]
                        ? "i64"
                        : DType;

/**
 * A tensor of the given values.
 *
 * Numbers become f32, booleans bool, bigints i64; typed arrays keep their type. `shape` lays a flat array out.
 *
 * @throws OpError `SHAPE_MISMATCH` if nested arrays are ragged or the values do not fill `shape`.
 * @example
 * ```ts
 * tensor([[1, 2], [3, 4]]).shape; // [2, 2]
 * tensor(new Int32Array([1, 2, 3, 4]), { shape: [2, 2] }).dtype; // "i32"
 * ```
 */
export function tensor<T extends TensorData, D extends DType = InferDType<T>>(
  values: T,
  options: CreateOptions<D> & { readonly shape?: Shape | undefined } = {},
): Tensor<Shape, NoInfer<D>> {
  const shape = options.shape ?? shapeOf(values);
  const count = shape.reduce((product, dim) => product * dim, 1);
  const dtype: DType = options.dtype ?? inferDType(values);
  const flat = flatten(values, count, dtype);
  return upload(flat, dtype, shape, deviceOf(options.device ?? defaults().device)) as Tensor<Shape, D>;
}

const isTyped = (values: unknown): values is TypedArray =>
  ArrayBuffer.isView(values) && !(values instanceof DataView);

function shapeOf(values: TensorData): number[] {
  if (isTyped(values)) return [values.length];
  if (!Array.isArray(values)) return [];
  return values.length === 0 ? [0] : [values.length, ...shapeOf(values[0] as TensorData)];
}

function inferDType(values: TensorData): DType {
  if (values instanceof Float64Array) return "f64";
  if (values instanceof Float32Array) return "f32";
  if (values instanceof BigInt64Array) return "i64";
  if (values instanceof Int32Array) return "i32";
  if (values instanceof Uint32Array) return "u32";
  if (values instanceof Int8Array) return "i8";
  if (isTyped(values)) return "u8";
  if (Array.isArray(values)) return values.length === 0 ? "f32" : inferDType(values[0] as TensorData);
  if (typeof values === "boolean") return "bool";
  if (typeof values === "bigint") return "i64";
  if (typeof values === "number") return "f32";
  throw new OpError(
    "INVALID_ARGUMENT",
    "tensor",
    `values must be numbers, nested arrays or a typed array, got ${values}`,
  );
}

function flatten(values: TensorData, count: number, dtype: DType): TypedArray {
  const target: HostDType = isHalf(dtype) ? "f32" : dtype;
  const flat = hostArray(target, count);
  if (isTyped(values) && values.constructor === flat.constructor && values.length === count) return values;
  let at = 0;
  const put = (value: TensorData): void => {
    if (isTyped(value)) {
      if (at + value.length > count) throw wrongCount(at + value.length, count);
      for (const v of value) putOne(v);
    } else if (Array.isArray(value)) for (const inner of value as readonly TensorData[]) put(inner);
    else putOne(value as number | bigint | boolean);
  };
  const putOne = (value: number | bigint | boolean): void => {
    if (at >= count) throw wrongCount(at + 1, count);
    if (flat instanceof BigInt64Array) flat[at++] = BigInt(value);
    else flat[at++] = toNumber(value, dtype);
  };
  put(values);
  if (at !== count) throw wrongCount(at, count);
  return flat;
}

function toNumber(value: number | bigint | boolean, dtype: DType): number {
  const number = Number(value);
  const { range, isFloat } = DTYPE_INFO[dtype];
  if (dtype === "bool") return number === 0 ? 0 : 1;
  if (!isFloat && range && !(Number.isInteger(number) && number >= range[0] && number <= range[1])) {
    throw new OpError("NOT_REPRESENTABLE", "tensor", `${value} is not a value of ${dtype}`);
  }
  return number;
}

const wrongCount = (got: number, want: number): OpError =>
  new OpError(
    "SHAPE_MISMATCH",
    "tensor",
    `${got} values do not fill the shape, which takes ${want}; rows must be equally long`,
  );
