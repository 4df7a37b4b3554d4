//! Archives whose files are stored as they are, as torch writes them: each is a part of the archive.
import { Readable } from "node:stream";
import { FormatError } from "@openelm/native";
import { type Entry, fromRandomAccessReader, RandomAccessReader, type ZipFile } from "yauzl";
import type { SourceFile } from "../files/source-file.js";

/** A file of an archive. */
export interface ZipRecord {
  readonly name: string;
  /** Byte of the archive at which its bytes begin. */
  readonly start: number;
  readonly size: number;
}

/** Lets the library read the parts that it asks for, which the archive's end bounds. */
class Reader extends RandomAccessReader {
  readonly #file: SourceFile;

  constructor(file: SourceFile) {
    super();
    this.#file = file;
  }

  override read(
    buffer: Buffer,
    offset: number,
    length: number,
    position: number,
    callback: (error: Error | null) => void,
  ): void {
    this.#file.read(position, length).then(
      (bytes) => {
        buffer.set(bytes, offset);
        callback(null);
      },
      (error: Error) => callback(error),
    );
  }

  override _readStreamForRange(start: number, end: number): Readable {
    const file = this.#file;
    async function* part(): AsyncIterable<Uint8Array> {
      yield await file.read(start, end - start);
    }
    return Readable.from(part());
  }

  override close(callback: (error: Error | null) => void): void {
    callback(null);
  }
}

/**
 * The files of an archive by name.
 *
 * @throws FormatError naming the archive for one that is cut off, contradicts itself or holds compressed files.
 */
export async function readZip(file: SourceFile): Promise<Map<string, ZipRecord>> {
  const bad = (what: string): FormatError =>
    new FormatError(`${file.path}: ${what}; the archive is cut off or damaged`, { path: file.path });
  let zip: ZipFile | undefined;
  try {
    zip = await openZip(file);
    const records = new Map<string, ZipRecord>();
    for (let entry = await nextEntry(zip); entry !== undefined; entry = await nextEntry(zip)) {
      const record = await recordOf(zip, entry, file);
      if (records.has(record.name)) throw file.bad(record.start, `the archive has ${record.name} twice`);
      records.set(record.name, record);
    }
    return records;
  } catch (error) {
    if (error instanceof FormatError) throw error;
    throw bad((error as Error).message);
  } finally {
    zip?.close();
  }
}

const openZip = (file: SourceFile): Promise<ZipFile> =>
  new Promise((resolve, reject) =>
    fromRandomAccessReader(
      new Reader(file),
      file.size,
      { lazyEntries: true, autoClose: false, strictFileNames: true },
      (error, zip) => (error ? reject(error) : resolve(zip)),
    ),
  );

/** The next file of the list; undefined at its end. */
const nextEntry = (zip: ZipFile): Promise<Entry | undefined> =>
  new Promise((resolve, reject) => {
    const settle = (act: () => void): void => {
      zip.removeAllListeners();
      act();
    };
    zip.once("entry", (entry: Entry) => settle(() => resolve(entry)));
    zip.once("end", () => settle(() => resolve(undefined)));
    zip.once("error", (error: Error) => settle(() => reject(error)));
    zip.readEntry();
  });

async function recordOf(zip: ZipFile, entry: Entry, file: SourceFile): Promise<ZipRecord> {
  const at = entry.relativeOffsetOfLocalHeader;
  if (entry.compressionMethod !== 0 || entry.isEncrypted()) {
    throw file.bad(at, `${entry.fileName} is compressed or encrypted; torch stores files as they are`);
  }
  if (entry.compressedSize !== entry.uncompressedSize) throw file.bad(at, `${entry.fileName} has two sizes`);
  const { fileDataStart: start } = await new Promise<{ fileDataStart: number }>((resolve, reject) =>
    zip.readLocalFileHeader(entry, { minimal: true }, (error, header) =>
      error ? reject(error) : resolve(header),
    ),
  );
  return { name: entry.fileName, start, size: entry.uncompressedSize };
}
