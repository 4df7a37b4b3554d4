// Reads one input after another and holds each to what every input must come to.
import { isOpenELMError } from "@openelm/native";
import { inputOf, isThorough, Place, sizeOf } from "./inputs.mjs";
import { memory } from "./memory.mjs";

/** @typedef {import("./inputs.mjs").Format} Format */
/** @typedef {import("./inputs.mjs").Files} Files */
/** @typedef {{ index: number, kind: "error" | "memory" | "time", message: string, stack?: string }} Failure */

/** Codes of errors that a bad file may come to. */
const ALLOWED = new Set(["FORMAT", "CONFIG", "FILE", "USAGE"]);

/** Memory that the engine and the allocators may take at a time whatever the input. */
const SLACK = 96 << 20;
/** Bytes of memory that a byte of a file may cost: a token of JSON becomes an object, a text, a place in a map. */
const PER_BYTE = 1024;
/** Seconds of processor time that an input may cost. */
const SECONDS = 2;

/** Inputs that are read before memory is watched: threads and caches come into being. */
const WARM = 50;

/** Reads inputs, and counts how they end. */
export class Fuzz {
  #name;
  #format;
  #seed;
  #place;
  #memory = memory();
  /** @type {Files[]} */
  #samples = [];
  /** How many were read as something valid, and how many were refused. */
  accepted = 0;
  refused = 0;
  /** What refusals said, without names and numbers. @type {Set<string>} */
  refusals = new Set();
  #onRefusal;

  /** @param {string} name @param {Format} format @param {{ seed: number, folder: string, onRefusal?: (kind: string) => void }} options - `onRefusal` hears of each kind once. */
  constructor(name, format, { seed, folder, onRefusal }) {
    this.#name = name;
    this.#format = format;
    this.#seed = seed;
    this.#onRefusal = onRefusal;
    this.#place = new Place(folder);
  }

  /** Makes the valid inputs, which must be read without an error. @param {string} folder */
  async prepare(folder) {
    this.#samples = await this.#format.samples(folder);
    for (let i = 0; i < WARM; i++) {
      this.#place.put(this.#samples[i % this.#samples.length]);
      await this.#format.read(this.#place.folder, i < this.#samples.length);
    }
  }

  /** @param {number} index @returns {Files} */
  input(index) {
    return inputOf(this.#name, this.#format, this.#samples, this.#seed, index);
  }

  /** Reads an input; what is wrong with how that went. @param {number} index @returns {Promise<Failure | undefined>} */
  one(index) {
    return this.read(this.input(index), index, isThorough(index));
  }

  /** @param {Files} files @param {number} index @param {boolean} thorough @returns {Promise<Failure | undefined>} */
  async read(files, index, thorough) {
    this.#place.put(files);
    const [before, start] = [this.#memory(), process.cpuUsage()];
    /** @type {unknown} */
    let error;
    try {
      await this.#format.read(this.#place.folder, thorough);
      this.accepted++;
    } catch (thrown) {
      error = thrown ?? new Error("nothing was thrown");
      this.refused++;
    }
    if (error !== undefined && !(isOpenELMError(error) && ALLOWED.has(error.code))) {
      const { message, stack } = error instanceof Error ? error : new Error(String(error));
      return {
        index,
        kind: "error",
        message: `${nameOf(error)}: ${message.slice(0, 400)}`,
        stack: stack?.slice(0, 4000),
      };
    }
    if (error !== undefined) this.#note(/** @type {Error & { code: string }} */ (error));
    const { user, system } = process.cpuUsage(start);
    const seconds = (user + system) / 1e6;
    if (seconds > SECONDS)
      return { index, kind: "time", message: `${seconds.toFixed(1)} s of processor time` };
    const { peak } = this.#memory();
    // Below the highest so far nobody knows how much it was.
    const taken = peak > before.peak ? peak - before.now : 0;
    const { slack = SLACK } = this.#format;
    if (taken <= slack + PER_BYTE * sizeOf(files)) return undefined;
    return {
      index,
      kind: "memory",
      message: `${(taken / 2 ** 20).toFixed(0)} MiB for ${sizeOf(files)} bytes`,
    };
  }

  /** @param {Error & { code: string }} refusal */
  #note({ code, message }) {
    const kind = `${code} ${sentenceOf(message, this.#place.folder)}`;
    if (this.refusals.has(kind)) return;
    this.refusals.add(kind);
    this.#onRefusal?.(kind);
  }
}

/** @param {unknown} error */
const nameOf = (error) =>
  isOpenELMError(error)
    ? `${error.name} [${error.code}]`
    : error instanceof Error
      ? error.name
      : typeof error;

/** A message as the program has it, without what it took from the file. @param {string} message @param {string} folder */
const sentenceOf = (message, folder) =>
  message
    .slice(0, 400)
    .replaceAll(folder, "")
    .replace(/"[^"]*"?/g, '""')
    .replace(/[\d.+-]*\d[\d.]*/g, "0")
    .slice(0, 60);
