import { UsageError } from "@openelm/native";
import { Device, type DeviceLike, device as deviceOf } from "./device.js";
import { DTYPES, type DType } from "./dtype.js";
import { cast } from "./generated/internal.js";
import { dataSync } from "./read.js";
import type { Tensor } from "./tensor.js";
import { upload } from "./upload.js";

/** A dtype, a device, or both. */
export type ToTarget = DType | DeviceLike | { readonly dtype?: DType; readonly device?: DeviceLike };

const isDType = (target: unknown): target is DType => DTYPES.includes(target as DType);

/** The tensor in another dtype or on another device; itself if it is there already. */
export function to(x: Tensor, target: ToTarget): Tensor {
  if (isDType(target)) return target === x.dtype ? x : cast(x, target);
  if (typeof target === "string" || target instanceof Device) return move(x, target);
  const moved = target.device === undefined ? x : move(x, target.device);
  return target.dtype === undefined ? moved : to(moved, target.dtype);
}

function move(x: Tensor, like: DeviceLike): Tensor {
  const target = deviceOf(like);
  if (target === x.device) return x;
  if (x.device.name === "meta") throw new UsageError('a tensor on "meta" has no values to move');
  return upload(dataSync(x), x.dtype, x.shape, target);
}
