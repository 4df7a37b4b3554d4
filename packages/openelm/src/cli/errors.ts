//! How errors reach the user: one message, no stack trace unless asked for.
import { isOpenELMError } from "@openelm/native";
import { INTERRUPTED_CODE, Interrupted } from "./interrupt.js";

/** What is printed for an error, what a program reads, and how the process ends. */
export interface ErrorReport {
  readonly message: string;
  readonly code: string;
  readonly exitCode: number;
}

/** Describes anything that was thrown. */
export function describeError(error: unknown): ErrorReport {
  if (error instanceof Interrupted)
    return { message: "stopped", code: "INTERRUPTED", exitCode: INTERRUPTED_CODE };
  if (isOpenELMError(error)) return { message: error.message, code: error.code, exitCode: 1 };
  if (isSystemError(error)) return { message: error.message, code: error.code, exitCode: 1 };
  const what = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  return { message: `${what} (unexpected; --debug shows where)`, code: "UNEXPECTED", exitCode: 1 };
}

/** Whether the operating system refused something; the message then names the call and the file. */
function isSystemError(error: unknown): error is NodeJS.ErrnoException & { readonly code: string } {
  return (
    error instanceof Error && "syscall" in error && typeof (error as NodeJS.ErrnoException).code === "string"
  );
}
