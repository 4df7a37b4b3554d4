import { createHash, type Hash } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, open, rename, rm, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { FormatError } from "@openelm/native";
import type { RemoteFile } from "./client.js";
import { isOutage } from "./errors.js";

/** Times that a connection may break off, each further on in the file. */
const ATTEMPTS = 5;

/** The name of a file's content in the cache, which is its hash. */
export const hashOf = ({ lfs, oid }: RemoteFile): string => lfs?.oid ?? oid;

/**
 * Brings the content of a file to `path`, where it appears when it is whole and has the hash that the hub says.
 *
 * What an earlier call left at `path.incomplete` is gone on from.
 *
 * @param content - Opens the file as the hub has it, of which any part can be read.
 * @param progress - Called with the bytes that are there.
 * @throws FormatError if the content has another hash.
 */
export async function downloadFile(
  file: RemoteFile,
  path: string,
  content: () => Promise<Blob>,
  progress: (bytes: number) => void,
): Promise<void> {
  const incomplete = `${path}.incomplete`;
  await mkdir(dirname(path), { recursive: true });
  for (let attempt = 1; ; attempt++) {
    try {
      await append(file, incomplete, content, progress);
      break;
    } catch (error) {
      if (!isOutage(error) || attempt === ATTEMPTS) throw error;
    }
  }
  const found = await hash(file, incomplete);
  if (found !== hashOf(file)) {
    await rm(incomplete, { force: true });
    throw new FormatError(
      `${file.path}: what was downloaded has the hash ${found}, the hub says ${hashOf(file)}; try again`,
      { path },
    );
  }
  await rename(incomplete, path);
}

async function append(
  { size, path }: RemoteFile,
  incomplete: string,
  content: () => Promise<Blob>,
  progress: (bytes: number) => void,
): Promise<void> {
  let there = await stat(incomplete).then(
    (stats) => stats.size,
    () => 0,
  );
  // More than there can be is of another file.
  if (there > size) {
    await rm(incomplete);
    there = 0;
  }
  progress(there);
  if (there === size && size > 0) return;
  const whole = await content();
  if (whole.size !== size) {
    throw new FormatError(`${path}: the hub announces ${size} bytes and has ${whole.size}`, {
      path: incomplete,
    });
  }
  const handle = await open(incomplete, "a");
  try {
    for await (const part of there === 0 ? whole.stream() : whole.slice(there).stream()) {
      await handle.writeFile(part);
      there += part.length;
      progress(there);
    }
    await handle.sync();
  } finally {
    await handle.close();
  }
  if (there < size) throw new Error(`the connection ended after ${there} of ${size} bytes`);
}

/** SHA-256 of a large file, git's SHA-1 of a small one. */
async function hash({ lfs, size }: RemoteFile, path: string): Promise<string> {
  const sum: Hash = lfs === undefined ? createHash("sha1").update(`blob ${size}\0`) : createHash("sha256");
  for await (const part of createReadStream(path, { highWaterMark: 1 << 20 })) sum.update(part as Buffer);
  return sum.digest("hex");
}
