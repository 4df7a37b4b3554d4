import { FileError, isOpenELMError } from "@openelm/native";

/** What the hub or the network says, as an error that says what to do. */
export function asHubError(error: unknown, name: string, hubUrl: string): unknown {
  if (isOpenELMError(error) || !(error instanceof Error) || error.name === "AbortError") return error;
  const { statusCode } = error as { statusCode?: number };
  const options = { path: name, cause: error };
  if (statusCode === 401 || statusCode === 403) {
    return new FileError(
      `${name}: ${hubUrl} gives it only to those whom it knows; accept its terms there and put a token into HF_TOKEN`,
      options,
    );
  }
  if (statusCode === 404)
    return new FileError(`${name}: ${hubUrl} has no such model, file or revision`, options);
  if (statusCode !== undefined)
    return new FileError(`${name}: ${hubUrl} answers with status ${statusCode}: ${error.message}`, options);
  return new FileError(
    `${name} is not in the cache, and ${hubUrl} cannot be reached: ${reason(error)}`,
    options,
  );
}

/** Whether asking again, or what the cache has, may help. */
export function isOutage(error: unknown): boolean {
  const { statusCode } = (error ?? {}) as { statusCode?: number };
  if (isOpenELMError(error) || !(error instanceof Error) || error.name === "AbortError") return false;
  return statusCode === undefined || statusCode >= 500 || statusCode === 429;
}

/** The innermost message: `fetch failed` says nothing. */
function reason(error: Error): string {
  const { cause } = error;
  if (cause instanceof Error) {
    const { code } = cause as NodeJS.ErrnoException;
    return code === undefined || cause.message.includes(code) ? reason(cause) : `${reason(cause)} (${code})`;
  }
  return error.message;
}
