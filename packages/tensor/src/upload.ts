import { core } from "./core.js";
import type { Device } from "./device.js";
import { DTYPE_INFO, type DType, isHalf } from "./dtype.js";
import { execute, intercept } from "./funnel.js";
import { castOp } from "./generated/table.js";
import { type Shape, Tensor } from "./tensor.js";

/** Puts host values on a device; they are copied before this returns. Halves come as f32. @internal */
export function upload(values: ArrayBufferView, dtype: DType, shape: Shape, device: Device): Tensor {
  if (!isHalf(dtype)) {
    return new Tensor(core.write(device.id, DTYPE_INFO[dtype].index, shape, values), dtype, shape, device);
  }
  const wide = upload(values, "f32", shape, device);
  const narrow = intercept(null, () => execute(castOp, [wide], [dtype], 1)[0]!);
  wide.dispose();
  return narrow;
}
