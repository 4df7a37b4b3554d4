import {
  CaptureError,
  DeviceError,
  DisposedError,
  type ErrorCode,
  FileError,
  FormatError,
  loadNative,
  NativeError,
  OpError,
  OutOfMemoryError,
  type TensorSummary,
} from "@openelm/native";
import { TABLE_HASH } from "./generated/table.js";

/** Bytes that a call and its result may take; larger calls bring an array of their own. */
export const ARENA_WORDS = 8192;

const buffer = new ArrayBuffer(ARENA_WORDS * 8);

/** Calls and results lie here; wire.rs and docs/architecture.md have the layout. */
export const arena = new Float64Array(buffer);

/** The class of an error that the core reports. */
function makeError(code: string, op: string, message: string, inputs: string): Error {
  switch (code) {
    case "DISPOSED":
      return new DisposedError(`${op}: ${message}; return it from its scope or keep(t) to use it later`);
    case "OUT_OF_MEMORY":
      return new OutOfMemoryError(`${op}: ${message}`);
    case "CAPTURE":
      return new CaptureError(`${op}: ${message}`);
    case "DEVICE_LOST":
    case "DEVICE_UNAVAILABLE":
      return new DeviceError(code, `${op}: ${message}`);
    case "FORMAT":
      return new FormatError(message);
    case "FILE":
      return new FileError(message);
    default:
      return new OpError(code as ErrorCode, op, message, JSON.parse(inputs) as TensorSummary[]);
  }
}

const waiting = new Map<number, () => void>();

function onRead(token: number): void {
  const settle = waiting.get(token);
  waiting.delete(token);
  settle?.();
}

function create() {
  const native = loadNative();
  if (native.tableHash !== TABLE_HASH) {
    throw new NativeError(
      "NATIVE_MISMATCH",
      `@openelm/tensor has op table ${TABLE_HASH}, the native core ${native.version} has ${native.tableHash}: ` +
        "install one version of all @openelm packages, or build the core again (npm run build:native)",
    );
  }
  return native.createCore(buffer, makeError, onRead);
}

/** The functions of the native core in this environment. */
export const core = create();

/** Waits for the read `token`, then copies its bytes into `into`. */
export function finishRead<T extends ArrayBufferView>(token: number, into: T): Promise<T> {
  const take = (): T => {
    core.readTake(Math.abs(token), into);
    return into;
  };
  return new Promise((resolve, reject) => {
    const settle = (): void => {
      try {
        resolve(take());
      } catch (error) {
        reject(error);
      }
    };
    if (token < 0) settle();
    else waiting.set(token, settle);
  });
}
