import { CaptureError, OpError } from "@openelm/native";
import { isRecording } from "./capture-state.js";
import { defaults } from "./defaults.js";
import { type Device, type DeviceLike, device as deviceOf } from "./device.js";
import { DTYPE_INFO, type DType, hostArray, isHalf } from "./dtype.js";
import { cast, full } from "./generated/internal.js";
import { keep } from "./scope.js";
import type { Tensor } from "./tensor.js";
import { upload } from "./upload.js";

/** Numbers that programs use again and again need not be made again: the last ones are kept. */
const cache = new Map<string, Tensor>();
const CACHE_SIZE = 256;

/**
 * A tensor without axes that holds `value`.
 *
 * @throws OpError `NOT_REPRESENTABLE` if an integer dtype cannot hold the value exactly.
 * @internal
 */
export function scalar(
  value: number | bigint | boolean,
  dtype: DType,
  where: DeviceLike | undefined,
  op: string,
): Tensor {
  const device = deviceOf(where ?? defaults().device);
  const key = `${device.id} ${dtype} ${Object.is(value, -0) ? "-0" : value}`;
  const found = cache.get(key);
  if (found !== undefined && !found.isDisposed) return found;
  checkScalar(value, dtype, op);
  if (isRecording()) return record(value, dtype, device);
  const made = keep(make(value, dtype, device));
  if (cache.size >= CACHE_SIZE) {
    const [oldest] = cache.keys();
    cache.delete(oldest!);
  }
  cache.set(key, made);
  return made;
}

/** The same as calls, which a recording can hold, and with the same roundings. */
function record(value: number | bigint | boolean, dtype: DType, device: Device): Tensor {
  const number = Number(value);
  if (typeof value === "bigint" && BigInt(number) !== value) {
    throw new CaptureError(`${value} is past 2⁵³; make a tensor of it before the function is captured`);
  }
  if (!isHalf(dtype)) return full([], number, { dtype, device });
  return cast(full([], number, { dtype: "f32", device }), dtype);
}

/** Throws `NOT_REPRESENTABLE` if an integer dtype has no such value. @internal */
export function checkScalar(value: number | bigint | boolean, dtype: DType, op: string): void {
  const { isFloat, range } = DTYPE_INFO[dtype];
  if (isFloat || range === undefined) return;
  const number = Number(value);
  const fits =
    dtype === "i64" && typeof value === "bigint"
      ? BigInt.asIntN(64, value) === value
      : Number.isInteger(number) && number >= range[0] && number <= range[1];
  if (!fits) {
    throw new OpError(
      "NOT_REPRESENTABLE",
      op,
      `${value} is not a value of ${dtype}; cast the tensor first with to("f32")`,
    );
  }
}

function make(value: number | bigint | boolean, dtype: DType, device: Device): Tensor {
  if (isHalf(dtype)) return upload(Float32Array.of(Number(value)), dtype, [], device);
  const array = hostArray(dtype, 1);
  if (array instanceof BigInt64Array) array[0] = BigInt(value);
  else array[0] = dtype === "bool" ? (value ? 1 : 0) : Number(value);
  return upload(array, dtype, [], device);
}
