import { randomBytes } from "node:crypto";
import { type FileHandle, mkdir, open, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { FileError } from "@openelm/native";

/** A name beside `path` that nothing has. */
export const temporaryName = (path: string): string =>
  `${path}.${process.pid}-${randomBytes(4).toString("hex")}.tmp`;

/** A file that appears under its name only when it is whole and on the disk; its folder is made. */
export class NewFile {
  readonly path: string;
  readonly #temporary: string;
  readonly #handle: FileHandle;
  /** Where {@link append} goes on. */
  end = 0;

  private constructor(path: string, temporary: string, handle: FileHandle) {
    this.path = path;
    this.#temporary = temporary;
    this.#handle = handle;
  }

  /**
   * Makes the file by `write`; if that throws, nothing stays.
   *
   * @throws FileError if it cannot be written.
   */
  static async write(path: string, write: (file: NewFile) => Promise<void>): Promise<void> {
    const temporary = temporaryName(path);
    let handle: FileHandle | undefined;
    try {
      await mkdir(dirname(path), { recursive: true });
      handle = await open(temporary, "wx");
      await write(new NewFile(path, temporary, handle));
      await handle.sync();
      await handle.close();
      handle = undefined;
      await rename(temporary, path);
    } catch (error) {
      await handle?.close();
      await rm(temporary, { force: true });
      throw asFileError(error, path);
    }
  }

  async append(bytes: Uint8Array): Promise<void> {
    await this.writeAt(this.end, bytes);
  }

  async writeAt(at: number, bytes: Uint8Array): Promise<void> {
    for (let done = 0; done < bytes.length; ) {
      const length = Math.min(bytes.length - done, 1 << 30);
      done += (await this.#handle.write(bytes, done, length, at + done)).bytesWritten;
    }
    this.end = Math.max(this.end, at + bytes.length);
  }

  toString(): string {
    return this.#temporary;
  }
}

/** What the system refuses as a FileError; everything else as it is. */
export function asFileError(error: unknown, path: string): unknown {
  const isSystem = error instanceof Error && typeof (error as NodeJS.ErrnoException).syscall === "string";
  if (!isSystem) return error;
  return new FileError(`cannot write ${path}: ${error.message}`, { path, cause: error });
}
