import { type FileHandle, mkdir, open, readFile, truncate } from "node:fs/promises";
import { dirname } from "node:path";
import { asFileError } from "../checkpoint/durable.js";

/** One line of a log; `step` says to which step it belongs. */
export interface LogLine {
  readonly step: number;
  readonly [name: string]: unknown;
}

/** A file of JSON objects, a line each, that only grows. */
export class JsonlLog {
  readonly path: string;
  readonly #file: FileHandle;

  private constructor(path: string, file: FileHandle) {
    this.path = path;
    this.#file = file;
  }

  /**
   * Opens a log for a run that has done `step` steps: lines of later steps, and a line that was cut off, go.
   *
   * @throws FileError if it cannot be written.
   */
  static async open(path: string, step: number): Promise<JsonlLog> {
    try {
      await mkdir(dirname(path), { recursive: true });
      const text = await readFile(path).catch(ifMissing);
      const end = text === undefined ? 0 : endOfStep(text, step);
      if (text !== undefined && end < text.length) await truncate(path, end);
      return new JsonlLog(path, await open(path, "a"));
    } catch (error) {
      throw asFileError(error, path, "write");
    }
  }

  /** Adds a line. Numbers that JSON has not (NaN, infinities) become null. */
  async write(line: LogLine): Promise<void> {
    try {
      await this.#file.appendFile(`${JSON.stringify(line)}\n`);
    } catch (error) {
      throw asFileError(error, this.path, "write");
    }
  }

  /** Resolves when all lines are on the disk. */
  async sync(): Promise<void> {
    try {
      await this.#file.datasync();
    } catch (error) {
      throw asFileError(error, this.path, "write");
    }
  }

  async close(): Promise<void> {
    await this.#file.close();
  }
}

function ifMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== "ENOENT") throw error;
}

/** Where the first line begins that is behind `step` or broken. */
function endOfStep(text: Buffer, step: number): number {
  let start = 0;
  while (start < text.length) {
    const newline = text.indexOf(10, start);
    if (newline < 0) return start;
    try {
      const line = JSON.parse(text.toString("utf8", start, newline)) as LogLine;
      if (!(line.step <= step)) return start;
    } catch {
      return start;
    }
    start = newline + 1;
  }
  return start;
}
