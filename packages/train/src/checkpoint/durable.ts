//! Files and folders that are there as a whole or not at all.
import { createHash, randomBytes } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, open, readdir, readFile, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { FileError } from "@openelm/native";

/** Size and hash of a file. */
export interface FileFacts {
  readonly bytes: number;
  readonly sha256: string;
}

/** A folder that was not yet complete, or that is being deleted, when its program ended. */
const LEFTOVER = /^\.(new|old)-/;

const CURES: Readonly<Record<string, string>> = {
  ENOSPC: "the disk is full; free some space",
  EDQUOT: "the disk quota is used up; free some space",
  EROFS: "the file system is read-only; choose another folder",
  EACCES: "permission is denied; choose another folder or change its permissions",
  EPERM: "permission is denied; choose another folder or change its permissions",
  ENOENT: "there is no such file or folder",
  ENOTDIR: "a file stands where a folder should be; choose another folder",
  EEXIST: "a file stands where a folder should be; choose another folder",
};

/** The typed form of what the system says about a file; other errors stay themselves. */
export function asFileError(error: unknown, path: string, verb: "read" | "write"): unknown {
  if (!(error instanceof Error) || error instanceof FileError) return error;
  const { code, syscall } = error as NodeJS.ErrnoException;
  if (code === undefined || syscall === undefined) return error;
  return new FileError(`cannot ${verb} ${path}: ${CURES[code] ?? error.message}`, { path, cause: error });
}

/** Size and SHA-256 of a file, read in pieces. */
export async function factsOf(path: string): Promise<FileFacts> {
  const hash = createHash("sha256");
  let bytes = 0;
  // A small file costs no large buffer.
  const highWaterMark = Math.min(1 << 20, Math.max(1 << 12, (await stat(path)).size));
  for await (const piece of createReadStream(path, { highWaterMark }) as AsyncIterable<Buffer>) {
    hash.update(piece);
    bytes += piece.length;
  }
  return { bytes, sha256: hash.digest("hex") };
}

/** Brings what was written to a file, or the names in a folder, onto the disk. */
export async function sync(path: string, kind: "file" | "folder"): Promise<void> {
  // Windows keeps names by itself and opens no folders.
  if (kind === "folder" && process.platform === "win32") return;
  const handle = await open(path, kind === "file" && process.platform === "win32" ? "r+" : "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/**
 * Writes a file under another name and gives it its own when it is on the disk.
 *
 * @throws FileError if that fails; the older file then stays.
 */
export async function writeFileDurably(path: string, content: string): Promise<void> {
  const temporary = join(dirname(path), `.new-${basename(path)}-${randomBytes(4).toString("hex")}`);
  try {
    const handle = await open(temporary, "wx");
    try {
      await handle.writeFile(content);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temporary, path);
    await sync(dirname(path), "folder");
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => undefined);
    throw asFileError(error, path, "write");
  }
}

/**
 * Makes a folder that appears under its name only when all that `fill` wrote is on the disk.
 *
 * One of that name is replaced.
 *
 * @throws FileError if that fails; nothing of the new folder is then left.
 */
export async function writeFolderDurably(
  path: string,
  fill: (temporary: string) => Promise<void>,
): Promise<void> {
  const parent = dirname(path);
  const temporary = join(parent, `.new-${basename(path)}-${randomBytes(4).toString("hex")}`);
  try {
    await mkdir(temporary, { recursive: true });
    await fill(temporary);
    for (const name of await readdir(temporary)) await sync(join(temporary, name), "file");
    await sync(temporary, "folder");
    await setAside(path);
    await rename(temporary, path);
    await sync(parent, "folder");
  } catch (error) {
    await rm(temporary, { recursive: true, force: true }).catch(() => undefined);
    const typed = asFileError(error, path, "write");
    if (!(typed instanceof FileError) || !typed.message.includes(temporary)) throw typed;
    // The reader knows the folder by the name that it was to have.
    throw new FileError(typed.message.replaceAll(temporary, path), { path, cause: typed });
  }
}

/** Deletes a folder; at no time is half of it there under its name. */
export async function removeFolder(path: string): Promise<void> {
  try {
    await setAside(path);
  } catch (error) {
    throw asFileError(error, path, "write");
  }
}

async function setAside(path: string): Promise<void> {
  const aside = join(dirname(path), `.old-${basename(path)}-${randomBytes(4).toString("hex")}`);
  try {
    await rename(path, aside);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return;
    throw error;
  }
  await rm(aside, { recursive: true, force: true });
}

/** Deletes what programs that were killed left half-made in a folder. */
export async function removeLeftovers(folder: string): Promise<void> {
  for (const name of await namesIn(folder)) {
    if (LEFTOVER.test(name)) await rm(join(folder, name), { recursive: true, force: true });
  }
}

/** The names in a folder; none if there is no such folder. */
export async function namesIn(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw asFileError(error, folder, "read");
  }
}

/** The text of a file, or undefined if there is none. */
export async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw asFileError(error, path, "read");
  }
}
