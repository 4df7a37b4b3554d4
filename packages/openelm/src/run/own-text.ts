//! A text of the user's own as a corpus: pieces that are long enough to learn from and many enough to hold some out.
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { UsageError } from "@openelm/native";
import { readText } from "./read-text.js";

/** Characters of a piece, about; it ends with a line. */
const PIECE = 2000;
/** Plain text that is cut into pieces; other files are records already. */
const PLAIN = /\.(jsonl|ndjson|json|parquet)(\.gz|\.zst)?$/;

/** A corpus and how large it is. */
export interface OwnText {
  /** What `data.text` of a configuration is to be. */
  readonly path: string;
  readonly bytes: number;
  readonly pieces: readonly string[];
}

/**
 * Cuts a text file into pieces, at empty lines where there are some, and writes them to `folder` as JSONL.
 *
 * @throws FileError if it cannot be read, UsageError if it holds too little text or is no plain text.
 */
export async function ownText(file: string, folder: string): Promise<OwnText> {
  if (PLAIN.test(file))
    throw new UsageError(`${file} holds records: name it in a configuration as data.text`);
  const text = await readText(file);
  const pieces = cut(text);
  if (text.trim().length < 1000)
    throw new UsageError(
      `${file} holds ${text.trim().length} characters; a model needs some thousand to learn from`,
    );
  await mkdir(folder, { recursive: true });
  const path = join(folder, "corpus.jsonl");
  const lines = `${pieces.map((piece) => JSON.stringify({ text: piece })).join("\n")}\n`;
  if ((await readFile(path, "utf8").catch(() => undefined)) !== lines) await writeFile(path, lines);
  return { path, bytes: Buffer.byteLength(text), pieces };
}

/** Whole paragraphs, or lines where there are no paragraphs, joined until a piece is long enough. */
export function cut(text: string): string[] {
  const paragraphs = text.split(/\n{2,}/);
  const units = paragraphs.flatMap((p) =>
    p.length > 2 * PIECE ? p.split("\n").map((line, i) => (i === 0 ? line : `\n${line}`)) : [p],
  );
  const pieces: string[] = [];
  let piece = "";
  for (const unit of units) {
    const joint = piece === "" || unit.startsWith("\n") ? "" : "\n\n";
    piece += joint + (piece === "" ? unit.replace(/^\n/, "") : unit);
    if (piece.length < PIECE) continue;
    pieces.push(piece);
    piece = "";
  }
  if (piece.trim() !== "") pieces.push(piece);
  return pieces.filter((p) => p.trim() !== "");
}
