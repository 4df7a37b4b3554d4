/// <reference lib="esnext.disposable" />
import { attachMethods } from "./methods.js";
import { markRealm } from "./realm.js";

export {
  CaptureError,
  DeviceError,
  DisposedError,
  DuplicatePackageError,
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
export type { Captured, CaptureOptions } from "./capture.js";
export { onEveryRun } from "./capture-state.js";
export { argsort } from "./composed/argsort.js";
export { einsum } from "./composed/einsum.js";
export { expandDims } from "./composed/expand-dims.js";
export { type FlattenOptions, flatten } from "./composed/flatten.js";
export { type FlipOptions, flip } from "./composed/flip.js";
export { allclose, allcloseSync, type CloseOptions, isclose } from "./composed/isclose.js";
export { maskedFill } from "./composed/masked-fill.js";
export { maskedSelect, maskedSelectSync } from "./composed/masked-select.js";
export { nonzero, nonzeroSync } from "./composed/nonzero.js";
export { type NormOptions, norm } from "./composed/norm.js";
export { type RepeatOptions, repeat } from "./composed/repeat.js";
export { type RollOptions, roll } from "./composed/roll.js";
export { softplus } from "./composed/softplus.js";
export { chunk, type SplitOptions, split, unbind } from "./composed/split.js";
export { type SqueezeOptions, squeeze } from "./composed/squeeze.js";
export { type StackOptions, stack } from "./composed/stack.js";
export { tile } from "./composed/tile.js";
export { transpose } from "./composed/transpose.js";
export { type Unique, unique, uniqueSync } from "./composed/unique.js";
export { std, type VarianceOptions, variance } from "./composed/variance.js";
export * from "./create.js";
export { type Defaults, defaults, withDefaults } from "./defaults.js";
export {
  type CudaProbe,
  cudaProbe,
  Device,
  type DeviceLike,
  type DeviceStats,
  device,
  devices,
  type MemoryStats,
} from "./device.js";
export { DTYPE_INFO, DTYPES, type DType, type HostArrays } from "./dtype.js";
export * from "./fill.js";
export {
  call,
  currentInterceptor,
  execute,
  type IndexOperand,
  type Inputs,
  type Interceptor,
  intercept,
  type Operand,
} from "./funnel.js";
/** Ops for gradient rules and other packages of this repository; they may change in any release. */
export * as internal from "./generated/internal.js";
export * from "./generated/ops.js";
export { OPS, type OpName, type OpTable, TABLE_HASH } from "./generated/table.js";
export { defaultGenerator, Generator, type GeneratorState, seed } from "./generator.js";
export { at, atSync, type MaskIndex } from "./indexing/at.js";
export type { IndexItem } from "./indexing/parse.js";
export { setAt } from "./indexing/set-at.js";
export {
  type LoadOptions,
  loadSafetensors,
  readSafetensorsHeader,
  Safetensors,
  type SafetensorsEntry,
  type SafetensorsHeader,
} from "./io/load-safetensors.js";
export { type NamedTensors, type SaveOptions, saveSafetensors } from "./io/save-safetensors.js";
export { liveTensors } from "./memory.js";
export { nvtxRange, SHOWS_RANGES } from "./nvtx.js";
export { type AttrValue, inputAt, type OpInfo } from "./op-info.js";
export type { BlockFormat } from "./quantized/blocks.js";
export {
  type QuantizationOptions,
  type QuantizedParts,
  QuantizedTensor,
  type ScaleDType,
} from "./quantized/quantized-tensor.js";
export * from "./random.js";
export * from "./ranges.js";
export type { ArrayOptions, NestedArray } from "./read.js";
export type { CommonDType, DTypeOf, FloatDType, SumDType } from "./result-dtype.js";
export { keep, refuseAsync, Scope, type Synchronous, scope } from "./scope.js";
export { type Shape, Tensor } from "./tensor.js";
export { isTreeNode, mapTensors, TREE, type TreeEntry, type TreeNode, visitTensors } from "./tree.js";
export type { TunedProduct, TuneOptions, Tuning, TuningTable } from "./tuning.js";

markRealm();
attachMethods();
