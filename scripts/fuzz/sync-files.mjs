// Files without threads: a read of a small file takes microseconds, the way to a thread and back much longer.
import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";

/** Functions whose form with promises does what the plain one does. */
const SAME = /** @type {const} */ ([
  "access",
  "copyFile",
  "lstat",
  "mkdir",
  "readdir",
  "readFile",
  "rename",
  "rm",
  "stat",
  "symlink",
  "unlink",
  "writeFile",
]);

/** What is done with a file or folder that is open for reading. */
class OpenFile {
  /** @param {number} fd */
  constructor(fd) {
    this.fd = fd;
  }

  async stat() {
    return fs.fstatSync(this.fd);
  }

  /** @param {Uint8Array} buffer @param {number} offset @param {number} length @param {number} position */
  async read(buffer, offset, length, position) {
    return { bytesRead: fs.readSync(this.fd, buffer, offset, length, position), buffer };
  }

  async sync() {
    fs.fsyncSync(this.fd);
  }

  async close() {
    if (this.fd >= 0) fs.closeSync(this.fd);
    this.fd = -1;
  }
}

/** Lets `node:fs/promises` of this process do its work before it returns. Files that are opened to be written stay as they were. */
export function readWithoutThreads() {
  /** @type {any} */
  const promises = fs.promises;
  /** @type {any} */
  const plain = fs;
  for (const name of SAME) {
    const does = plain[`${name}Sync`];
    promises[name] = async (/** @type {unknown[]} */ ...args) => does(...args);
  }
  const { open } = promises;
  promises.open = async (
    /** @type {string} */ path,
    /** @type {unknown} */ flags = "r",
    /** @type {unknown[]} */ ...rest
  ) => (flags === "r" ? new OpenFile(fs.openSync(path, "r")) : open(path, flags, ...rest));
  syncBuiltinESMExports();
}
