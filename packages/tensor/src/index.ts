/// <reference lib="esnext.disposable" />
import { attachMethods } from "./methods.js";

export {
  DeviceError,
  DisposedError,
  type ErrorCode,
  FileError,
  FormatError,
  isOpenELMError,
  NativeError,
  OpError,
  OpenELMError,
  OutOfMemoryError,
  UsageError,
} from "@openelm/native";
export { autocast, currentAutocast } from "./autocast.js";
export * from "./create.js";
export { type Defaults, defaults, withDefaults } from "./defaults.js";
export { Device, type DeviceLike, type DeviceStats, device, devices, type MemoryStats } from "./device.js";
export { DTYPE_INFO, DTYPES, type DType, type HostArrays } from "./dtype.js";
export { call, currentInterceptor, execute, type IndexOperand, type Inputs, type Interceptor, intercept, type Operand } from "./funnel.js";
export * from "./generated/ops.js";
export { type OpName, OPS, type OpTable, TABLE_HASH } from "./generated/table.js";
export { liveTensors } from "./memory.js";
export { type AttrValue, inputAt, type OpInfo } from "./op-info.js";
export type { ArrayOptions, NestedArray } from "./read.js";
export { keep, refuseAsync, Scope, type Synchronous, scope } from "./scope.js";
export { type Shape, Tensor } from "./tensor.js";
export { isTreeNode, mapTensors, TREE, type TreeEntry, type TreeNode, visitTensors } from "./tree.js";

attachMethods();
