import { stat } from "node:fs/promises";
import type { NativeReaderOptions } from "@openelm/native";
import { requireInteger, requireKnown } from "./check.js";
import { findFiles } from "./files.js";
import { binding, callAsync } from "./native.js";
import { type LongWork, Rate } from "./progress.js";

export interface ReadOptions {
  /** The JSON key or Parquet column that holds the text. Default `"text"`. */
  readonly textKey?: string;
  /** What one document of a plain text file is: a line that is not empty, or the file. Default `"line"`. */
  readonly textUnit?: "line" | "file";
  /** A larger document is an error. Default 256 MiB. */
  readonly maxDocumentBytes?: number;
  /** Of folders and globs read only the files that are named after this split. */
  readonly split?: string;
}

/** A text and where it stands. */
export interface Document {
  readonly text: string;
  readonly path: string;
  /** Number of the document in its file, from 0. */
  readonly index: number;
}

export const READ_KEYS = ["textKey", "textUnit", "maxDocumentBytes", "split"] as const;
/** Documents and bytes that cross at once. */
const BATCH_DOCUMENTS = 512;
const BATCH_BYTES = 1 << 20;

/** @internal */
export function nativeReadOptions(options: ReadOptions): NativeReaderOptions {
  const { textKey = "text", textUnit = "line", maxDocumentBytes = 256 << 20 } = options;
  requireInteger("maxDocumentBytes", maxDocumentBytes, 1, 1 << 30);
  return { textKey, wholeFiles: textUnit === "file", maxDocumentBytes };
}

/**
 * Reads the documents of a corpus, in order: `.txt`, `.md`, `.jsonl`, `.json` (one object a line), each also `.gz` or
 * `.zst`, and `.parquet`. Files are read ahead on native threads.
 *
 * @param paths - Files, folders and globs.
 * @throws FormatError naming file and line where a file is broken, FileError where it cannot be read.
 *
 * @example
 * ```ts no-run
 * for await (const { text } of readDocuments("corpus/*.jsonl.gz")) console.log(text.length);
 * ```
 */
export async function* readDocuments(
  paths: string | readonly string[],
  options: ReadOptions & LongWork = {},
): AsyncGenerator<Document, void, undefined> {
  requireKnown("readDocuments", options, [...READ_KEYS, "signal", "onProgress"]);
  const { signal, onProgress } = options;
  const reading = nativeReadOptions(options);
  const files = await findFiles(paths, options.split);
  const sizes = await Promise.all(files.map(async (file) => (await stat(file)).size));
  const total = sizes.reduce((sum, size) => sum + size, 0);
  const rate = new Rate();
  let finished = 0;
  for (const [i, path] of files.entries()) {
    signal?.throwIfAborted();
    const reader = await callAsync(() => binding().NativeDocumentReader.open(path, reading));
    const read = () => callAsync(() => reader.next(BATCH_DOCUMENTS, BATCH_BYTES));
    let index = 0;
    let ahead = read();
    for (;;) {
      const { texts, done, bytesRead } = await ahead;
      signal?.throwIfAborted();
      if (!done) {
        ahead = read();
        // Its error belongs to the documents behind these; until then it must not count as unhandled.
        ahead.catch(() => {});
      }
      for (const text of texts) yield { text, path, index: index++ };
      const bytes = finished + bytesRead;
      onProgress?.({ phase: "read", done: bytes, total, unit: "bytes", ...rate.of(bytes) });
      if (done) break;
    }
    finished += sizes[i]!;
  }
}
