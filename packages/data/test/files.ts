import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll } from "vitest";
import { isOpenELMError } from "../src/index.js";

/** Path of a golden file. */
export function golden(name: string): string {
  return fileURLToPath(new URL(`../../testing/goldens/${name}`, import.meta.url));
}

export function goldenJson<T>(name: string): T {
  return JSON.parse(readFileSync(golden(name), "utf8")) as T;
}

/** A folder that is removed when the file's tests are over. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "openelm-data-"));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** What `promise` rejects with, as `[code, message]`. */
export async function failure(
  promise: Promise<unknown>,
): Promise<[code: string | undefined, message: string]> {
  const error = await promise.then(
    () => new Error("it did not reject"),
    (reason: Error) => reason,
  );
  return [isOpenELMError(error) ? error.code : undefined, error.message];
}
