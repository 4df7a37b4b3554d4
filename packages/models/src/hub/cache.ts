//! The cache that Hugging Face's programs share: content by its hash, and folders of links to it, one a commit.
import { copyFile, mkdir, readFile, rename, rm, stat, symlink, writeFile } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { temporaryName } from "../convert/files/new-file.js";

/** The full hash of a commit. */
export const COMMIT = /^[0-9a-f]{40}$/;

const isThere = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  );

/** One model in the cache. */
export class CachedModel {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  snapshot(commit: string): string {
    return join(this.#folder, "snapshots", commit);
  }

  content(hash: string): string {
    return join(this.#folder, "blobs", hash);
  }

  has(commit: string, path: string): Promise<boolean> {
    return isThere(join(this.snapshot(commit), path));
  }

  /** The commit that a revision was when it was last asked for. */
  async commit(revision: string): Promise<string | undefined> {
    if (COMMIT.test(revision)) return revision;
    const text = await readFile(join(this.#folder, "refs", revision), "utf8").catch(() => "");
    return COMMIT.test(text.trim()) ? text.trim() : undefined;
  }

  async setCommit(revision: string, commit: string): Promise<void> {
    if (revision === commit) return;
    const path = join(this.#folder, "refs", revision);
    const temporary = temporaryName(path);
    await mkdir(dirname(path), { recursive: true });
    await writeFile(temporary, commit);
    await rename(temporary, path);
  }

  /** Puts a content under the name that a commit has for it. */
  async link(commit: string, path: string, hash: string): Promise<void> {
    const place = join(this.snapshot(commit), path);
    if (await isThere(place)) return;
    await mkdir(dirname(place), { recursive: true });
    const temporary = temporaryName(place);
    try {
      await symlink(relative(dirname(place), this.content(hash)), temporary);
    } catch {
      // Systems that allow links to few, such as Windows.
      await copyFile(this.content(hash), temporary);
    }
    await rename(temporary, place).catch(async (error: unknown) => {
      await rm(temporary, { force: true });
      throw error;
    });
  }

  /** Whether a content is there already, from another commit or program. */
  hasContent(hash: string): Promise<boolean> {
    return isThere(this.content(hash));
  }
}
