import { stat } from "node:fs/promises";
import { resolve } from "node:path";
import { ConfigError, FileError } from "@openelm/native";
import { glob, isDynamicPattern } from "tinyglobby";

/** What the readers can read, as a glob. */
const READABLE = "**/*.{parquet,jsonl,ndjson,json,txt,text,md}{,.gz,.zst}";

/**
 * The files that `paths` mean, each once: a file itself, all readable files of a folder, all that match a glob.
 * Those of one folder or glob are sorted, so the order does not depend on the file system.
 *
 * @param split - Of folders and globs take only the files of this split, as Hugging Face data sets name them:
 *   `train-00000-of-00010.parquet`, `train.jsonl`, `data/train/part.json.gz`.
 * @throws FileError for a path that does not exist, ConfigError for one that means no file.
 */
export async function findFiles(paths: string | readonly string[], split?: string): Promise<string[]> {
  const found = new Set<string>();
  for (const path of typeof paths === "string" ? [paths] : paths) {
    const entry = await stat(path).catch((error: NodeJS.ErrnoException) => error);
    let files: string[];
    if (!(entry instanceof Error)) {
      files = entry.isDirectory() ? ofSplit(await search(READABLE, path), split) : [resolve(path)];
    } else if (entry.code === "ENOENT" && isDynamicPattern(path)) {
      files = ofSplit(await search(path.replaceAll("\\", "/")), split);
    } else {
      throw new FileError(`${path}: cannot read: ${entry.message}`, { path, cause: entry });
    }
    if (files.length === 0) {
      throw new ConfigError(`${path}: no file to read${split === undefined ? "" : ` of split "${split}"`}`);
    }
    for (const file of files) found.add(file);
  }
  return [...found];
}

async function search(pattern: string, cwd = process.cwd()): Promise<string[]> {
  const files = await glob(pattern, { cwd, absolute: true, onlyFiles: true });
  return files.map((file) => resolve(file)).sort();
}

function ofSplit(files: string[], split: string | undefined): string[] {
  if (split === undefined) return files;
  const escaped = split.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
  const named = new RegExp(`(^|[/\\\\])${escaped}([-._][^/\\\\]*$|[/\\\\][^/\\\\]*$)`);
  return files.filter((file) => named.test(file));
}
