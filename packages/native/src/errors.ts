/** Every code that an OpenELM error can carry. Codes are API; messages are not. */
export type ErrorCode =
  // a call that no device can run
  | "SHAPE_MISMATCH"
  | "DTYPE_MISMATCH"
  | "DEVICE_MISMATCH"
  | "INVALID_ARGUMENT"
  | "INDEX_OUT_OF_RANGE"
  | "NOT_REPRESENTABLE"
  | "UNKNOWN_OP"
  | "NO_KERNEL"
  | "KERNEL_FAILED"
  | "IN_USE_BY_TAPE"
  | "OVERLAPPING_WRITE"
  | "NOT_DIFFERENTIABLE"
  // lifetime, memory, device
  | "DISPOSED"
  | "OUT_OF_MEMORY"
  | "DEVICE_LOST"
  | "DEVICE_UNAVAILABLE"
  | "ASYNC_SCOPE"
  | "USAGE"
  | "CAPTURE"
  | "DIVERGED"
  // a check of @openelm/testing that does not hold
  | "CHECK_FAILED"
  // files and configuration
  | "FORMAT"
  | "CONFIG"
  | "FILE"
  // loading the core
  | "NATIVE_NOT_FOUND"
  | "NATIVE_MISMATCH"
  | "DUPLICATE_PACKAGE"
  | "INTERNAL";

/** The shape and dtype of one tensor, as errors report it. */
export interface TensorSummary {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
}

const BRAND = "openelm.error";

/** Base of everything that OpenELM throws on purpose. */
export class OpenELMError extends Error {
  readonly code: ErrorCode;
  /** Marks the error across package copies, realms and workers. */
  readonly brand: string = BRAND;

  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
    this.code = code;
  }

  get [Symbol.toStringTag](): string {
    return this.name;
  }
}

/** A call that no device can run: wrong shapes, dtypes, devices or attributes, or a kernel that failed. */
export class OpError extends OpenELMError {
  readonly op: string;
  readonly inputs: readonly TensorSummary[];

  constructor(code: ErrorCode, op: string, message: string, inputs: readonly TensorSummary[] = []) {
    const lines = inputs.map(
      ({ name, dtype, shape }) => `\n  ${name.padEnd(8)}${dtype}[${shape.join(", ")}]`,
    );
    super(code, `[${code}] ${op}: ${message}${lines.join("")}`);
    this.op = op;
    this.inputs = inputs;
  }
}

/** A file that does not hold what its format promises. */
export class FormatError extends OpenELMError {
  /** The file, where there is one. */
  readonly path: string | undefined;
  constructor(message: string, options?: ErrorOptions & { path?: string }) {
    super("FORMAT", message, options);
    this.path = options?.path;
  }
}

/** A file that cannot be read or written. */
export class FileError extends OpenELMError {
  readonly path: string | undefined;
  constructor(message: string, options?: ErrorOptions & { path?: string }) {
    super("FILE", message, options);
    this.path = options?.path;
  }
}

/** A configuration that cannot be used; the message names file, key and the nearest valid one. */
export class ConfigError extends OpenELMError {
  constructor(message: string, options?: ErrorOptions) {
    super("CONFIG", message, options);
  }
}

/** A tensor that has been freed. */
export class DisposedError extends OpenELMError {
  constructor(message: string, options?: ErrorOptions) {
    super("DISPOSED", message, options);
  }
}

/** The device has no memory left for what was asked. */
export class OutOfMemoryError extends OpenELMError {
  constructor(message: string, options?: ErrorOptions) {
    super("OUT_OF_MEMORY", message, options);
  }
}

/** A device that does not exist or was lost. */
export class DeviceError extends OpenELMError {
  constructor(code: "DEVICE_LOST" | "DEVICE_UNAVAILABLE", message: string, options?: ErrorOptions) {
    super(code, message, options);
  }
}

/** A function that `device.capture` cannot record; the message names the reason. */
export class CaptureError extends OpenELMError {
  constructor(message: string, options?: ErrorOptions) {
    super("CAPTURE", message, options);
  }
}

/** The library is used in a way that cannot work, whatever the data. */
export class UsageError extends OpenELMError {
  constructor(message: string, code: ErrorCode = "USAGE", options?: ErrorOptions) {
    super(code, message, options);
  }
}

/** The native core cannot be found or does not fit these packages. */
export class NativeError extends OpenELMError {
  constructor(code: "NATIVE_NOT_FOUND" | "NATIVE_MISMATCH", message: string, options?: ErrorOptions) {
    super(code, message, options);
  }
}

/** Two copies of one package in a program, which cannot share their objects. */
export class DuplicatePackageError extends OpenELMError {
  constructor(message: string, options?: ErrorOptions) {
    super("DUPLICATE_PACKAGE", message, options);
  }
}

/**
 * Whether `error` was thrown by OpenELM, and with `code` where one is given.
 *
 * Works across package copies, realms and workers, where `instanceof` does not.
 *
 * @example
 * ```ts
 * try { add(ones([2]), ones([3])); } catch (error) { isOpenELMError(error, "SHAPE_MISMATCH"); } // true
 * ```
 */
export function isOpenELMError(error: unknown, code?: ErrorCode): error is OpenELMError {
  if (typeof error !== "object" || error === null) return false;
  const { brand, code: actual } = error as Partial<OpenELMError>;
  return brand === BRAND && (code === undefined || actual === code);
}
