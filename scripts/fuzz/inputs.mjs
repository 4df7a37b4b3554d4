// The inputs of a format: valid ones, one of which is changed by the numbers of a seed and an index.
import { mkdirSync, unlinkSync, writeFileSync } from "node:fs";
import path from "node:path";
import { Random } from "./random.mjs";

/** @typedef {Map<string, Uint8Array>} Files - Bytes by names, with slashes, below one folder. */

/**
 * @typedef {object} Format
 * @property {string} about
 * @property {(folder: string) => Promise<Files[]>} samples - Valid inputs, made in a folder that is theirs.
 * @property {(random: Random, files: Files) => Files} mutate
 * @property {(folder: string, thorough: boolean) => Promise<void>} read - Everything that a program does with such files;
 * thorough is what takes long.
 * @property {number} [slack] - Bytes of memory that may be taken whatever the input, where they are not the usual ones.
 * @property {boolean} [lenient] - Whether nothing is refused: what is wrong in such a file is left out.
 */

/** Inputs of which one is read with all that takes long. */
const THOROUGH = 64;

/** @param {number} index */
export const isThorough = (index) => index % THOROUGH === 0;

/** @param {string} name @param {Format} format @param {Files[]} samples @param {number} seed @param {number} index */
export function inputOf(name, format, samples, seed, index) {
  const random = new Random(name, seed, index);
  return format.mutate(random, random.pick(samples));
}

/** A folder that holds one input after another. */
export class Place {
  /** @type {Files} */
  #there = new Map();
  /** Folders that have been made. */
  #made = new Set();

  /** @param {string} folder */
  constructor(folder) {
    this.folder = folder;
    mkdirSync(folder, { recursive: true });
  }

  /** Brings the files of an input into the folder, those alone that differ. @param {Files} files */
  put(files) {
    // Never into a file that is there: it may still be mapped.
    for (const [name, bytes] of this.#there)
      if (files.get(name) !== bytes) unlinkSync(path.join(this.folder, name));
    for (const [name, bytes] of files) {
      if (this.#there.get(name) === bytes) continue;
      const file = path.join(this.folder, name);
      const folder = path.dirname(file);
      if (!this.#made.has(folder)) mkdirSync(folder, { recursive: true });
      this.#made.add(folder);
      writeFileSync(file, bytes);
    }
    this.#there = files;
  }
}

/** @param {Files} files */
export const sizeOf = (files) => [...files.values()].reduce((sum, bytes) => sum + bytes.length, 0);
