import {
  ConfigError,
  type DataBinding,
  type ErrorCode,
  FileError,
  FormatError,
  loadNative,
  OpenELMError,
  type TextBinding,
  UsageError,
} from "@openelm/native";

/** The addon's exports that this package uses; the first call loads it. */
export const binding: () => TextBinding & DataBinding = loadNative;

interface ErrorData {
  readonly code: ErrorCode | "CANCELLED";
  readonly message: string;
  readonly path?: string | null;
}

/** The error that `error`, thrown by the addon, stands for; anything else as it is. */
export function rebuildError(error: unknown): unknown {
  const data = errorData(error);
  if (data === undefined) return error;
  const { code, message } = data;
  const options = { cause: error, ...(data.path ? { path: data.path } : {}) };
  switch (code) {
    case "CANCELLED":
      return new DOMException(message, "AbortError");
    case "FORMAT":
      return new FormatError(message, options);
    case "FILE":
      return new FileError(message, options);
    case "CONFIG":
      return new ConfigError(message, options);
    case "INVALID_ARGUMENT":
      return new UsageError(message, code, options);
    default:
      return new OpenELMError(code, message, options);
  }
}

function errorData(error: unknown): ErrorData | undefined {
  if (!(error instanceof Error) || !error.message.startsWith("{")) return undefined;
  try {
    const data: unknown = JSON.parse(error.message);
    const fits = typeof data === "object" && data !== null && "code" in data && "message" in data;
    return fits ? (data as ErrorData) : undefined;
  } catch {
    return undefined;
  }
}

/** Calls into the addon, with its errors rebuilt at the caller's line. */
export function call<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw rebuildError(error);
  }
}

/** As {@link call}, for calls that return a promise. */
export async function callAsync<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw rebuildError(error);
  }
}
