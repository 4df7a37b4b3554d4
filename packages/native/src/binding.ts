import type { DataBinding } from "./binding-data.js";
import type { TextBinding } from "./binding-text.js";

/** Makes the error that a failed native call throws; `inputs` is JSON of {@link TensorSummary} entries. */
export type ErrorFactory = (code: string, op: string, message: string, inputs: string) => Error;

/** The functions of one environment's core. Ids, tokens and sizes are whole numbers below 2⁵³. */
export interface NativeCore {
  /** Runs the call that lies in the arena; the result lies there afterwards. */
  dispatch(op: number): void;
  /** The same in an array of the caller's, for calls that outgrow the arena. */
  dispatchLarge(op: number, words: Float64Array): void;
  /** Frees each tensor once its object has been collected; the ids lie in the arena. */
  track(objects: readonly object[], count: number): void;
  /** One more owner; a pinned one needs the present values. */
  retain(id: number, pin: boolean): void;
  /** One owner less; the last one's end frees the tensor. */
  release(id: number, pinned: boolean): void;
  /** The same for an object that was given to `track`, so that its collection does not release it again. */
  releaseTracked(id: number): void;
  releaseMany(ids: Float64Array, count: number, pinned: boolean): void;
  /** Collects garbage and frees what was dropped outside scopes. */
  collect(): void;
  liveTensors(): number;
  write(device: number, dtype: number, shape: readonly number[], bytes: ArrayBufferView): number;
  /** Starts a copy to the host: its token, negative if it has ended already. */
  readStart(id: number): number;
  readTake(token: number, into: ArrayBufferView): void;
  readSync(id: number, into: ArrayBufferView): void;
  /** A read without bytes that ends when all before it has; one that reports fails with the first error since the last. */
  fence(device: number, reports: boolean): number;
  synchronizeSync(device: number): void;
  /** JSON list of names. */
  devices(): string;
  /** The id of a name; throws what keeps it from being there. */
  findDevice(name: string): number;
  /** JSON: `{"devices": names, "driver": version or null, "missing": why there is none, or null}`. */
  cuda(): string;
  /** Into the arena: current, peak, cached, limit, pending, stalls, threads. */
  deviceStats(device: number): void;
  /** Begins a range that profilers of GPUs show around the calls that follow. */
  rangeBegin(name: string): void;
  /** Ends the last one. */
  rangeEnd(): void;
  trim(device: number): void;
  setThreads(device: number, threads: number): void;
  /** Products are measured from here on; `again` means also those that the table knows. */
  tuneBegin(device: number, again: boolean): void;
  /** How many products were met since then; waits for nothing. */
  tunedSoFar(device: number): number;
  /** Stores what was measured: the report, as JSON. */
  tuneEnd(device: number): string;
  /** JSON: the table by which products are computed; `null` where there is none. */
  tuningTable(device: number): string;
  isContiguous(id: number): boolean;
  share(id: number): number;
  adopt(token: number): void;
  /** From here on calls are recorded instead of run. */
  captureBegin(device: number): void;
  /** A tensor that stands for an argument; it lies in the arena like the output of a call. */
  captureInput(id: number): void;
  /** What a replay gives. */
  captureOutputs(ids: Float64Array): void;
  /** Ends the recording: its number. */
  captureEnd(): number;
  captureAbort(): void;
  captureRelease(recording: number): void;
  /** The results lie in the arena; false if a captured tensor has been freed, so that the recording must be made again. */
  replay(recording: number, ids: Float64Array): boolean;
  /** JSON: `{"file", "header": as in the file, "tensors": [{"name", "dtype", "shape", "start"}]}`. */
  openSafetensors(path: string): string;
  closeSafetensors(file: number): void;
  /** Whether tensors of this process still lie in a mapping of the file. */
  isMapped(path: string): boolean;
  mapTensor(file: number, device: number, start: number, dtype: number, shape: readonly number[]): number;
}

/** What the addon exports. */
export interface NativeBinding extends TextBinding, DataBinding {
  readonly version: string;
  /** Fingerprint of the op table that the core was built with. */
  readonly tableHash: number;
  /** The widest vector units that kernels use here, such as `"avx512"`. */
  readonly simd: string;
  createCore(arena: ArrayBuffer, makeError: ErrorFactory, onRead: (token: number) => void): NativeCore;
}
