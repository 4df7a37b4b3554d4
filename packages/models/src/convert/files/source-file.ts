import { type FileHandle, open } from "node:fs/promises";
import { FileError, FormatError } from "@openelm/native";

/** Most bytes of one read call. */
const MOST = 1 << 30;
/** Bytes that are read at once where fewer are wanted: headers are read in many small parts that lie close together. */
const WINDOW = 1 << 16;

/** A file that is read by place, never beyond its end. */
export class SourceFile {
  readonly path: string;
  readonly size: number;
  readonly #handle: FileHandle;
  /** Some bytes of the file, and where they begin. */
  #window: { readonly at: number; readonly bytes: Uint8Array } = { at: 0, bytes: new Uint8Array(0) };

  private constructor(path: string, size: number, handle: FileHandle) {
    this.path = path;
    this.size = size;
    this.#handle = handle;
  }

  /** @throws FileError if it cannot be opened or is no file. */
  static async open(path: string): Promise<SourceFile> {
    let handle: FileHandle | undefined;
    try {
      handle = await open(path);
      const stats = await handle.stat();
      if (!stats.isFile()) throw new Error("it is no file");
      return new SourceFile(path, stats.size, handle);
    } catch (cause) {
      await handle?.close();
      throw new FileError(`cannot open ${path}: ${(cause as Error).message}`, { path, cause });
    }
  }

  /** @throws FormatError if the file ends before; nothing is allocated then. */
  async read(at: number, length: number): Promise<Uint8Array> {
    if (!(at >= 0 && length >= 0 && at + length <= this.size)) {
      throw this.bad(at, `${length} bytes are wanted, but the file has ${this.size}`);
    }
    if (length > WINDOW / 4) return this.#readAll(at, length);
    let { at: start, bytes } = this.#window;
    if (at < start || at + length > start + bytes.length) {
      [start, bytes] = [at, await this.#readAll(at, Math.min(WINDOW, this.size - at))];
      this.#window = { at: start, bytes };
    }
    return bytes.slice(at - start, at - start + length);
  }

  async #readAll(at: number, length: number): Promise<Uint8Array> {
    const bytes = new Uint8Array(length);
    for (let done = 0; done < length; ) {
      const { bytesRead } = await this.#handle.read(bytes, done, Math.min(length - done, MOST), at + done);
      if (bytesRead === 0)
        throw new FileError(`${this.path} became shorter while it was read`, { path: this.path });
      done += bytesRead;
    }
    return bytes;
  }

  /** What is wrong at a byte of this file. */
  bad(at: number, what: string): FormatError {
    return new FormatError(`${this.path}: byte ${at}: ${what}`, { path: this.path });
  }

  close(): Promise<void> {
    return this.#handle.close();
  }
}
