// Documents of a corpus, and what CoreNet's loader reads.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { CorenetLoader, readDocuments, Tokenizer } from "@openelm/data";
import { joined, mutateBytes, putNumber } from "../mutate/bytes.mjs";
import { mutateJson } from "../mutate/json.mjs";
import { mutateParquet } from "../mutate/parquet.mjs";
import { changed } from "./models.mjs";
import { stateIn } from "./own.mjs";

/** @typedef {import("../inputs.mjs").Files} Files */
/** @typedef {import("../inputs.mjs").Format} Format */
/** @typedef {import("../random.mjs").Random} Random */

const SAMPLES = fileURLToPath(new URL("../samples", import.meta.url));
const TEXTS = Array.from({ length: 8 }, (_, i) => `the ocean number ${i} and the sea ${"é".repeat(i)}`);

/** @param {string} text */
const utf8 = (text) => new Uint8Array(Buffer.from(text));
const LINES = TEXTS.map((text, id) =>
  utf8(JSON.stringify({ id, text, more: [null, true, 1.5, { a: "b" }] })),
);
const NEWLINE = Uint8Array.of(10);

/** @param {readonly Uint8Array[]} lines */
const linesOf = (lines) => joined(...lines.flatMap((line) => [line, NEWLINE]));

/** A frame of zstd whose blocks hold bytes as they are. @param {Random} random @param {Uint8Array} content */
function asZstd(random, content) {
  // Windows from 1 KiB to beyond all that is read: the exponent stands in the upper five bits.
  const head = Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, 0, random.once(4) ? random.below(256) : 0x58);
  const half = random.below(content.length);
  const blocks = [content.subarray(0, half), content.subarray(half)].map((part, i) => {
    const block = new Uint8Array(3);
    putNumber(block, 0, 3, BigInt((part.length << 3) | i));
    return joined(block, part);
  });
  return joined(head, ...blocks);
}

/** @param {Random} random @param {string} name @returns {Uint8Array} */
function otherLines(random, name) {
  /** @type {Uint8Array[]} */
  const lines = [...LINES];
  for (let left = random.few(3); left > 0; left--) {
    const i = random.below(lines.length);
    if (random.once(3)) lines[i] = mutateBytes(random, lines[i]);
    else lines[i] = name.includes(".txt") ? utf8(TEXTS[i]) : mutateJson(random, LINES[i]);
  }
  return random.once(16) ? mutateBytes(random, linesOf(lines)) : linesOf(lines);
}

/** @type {Format} */
export const documents = {
  about: "documents of a corpus: lines of JSON and of text, also in gzip and zstd",
  // A window of zstd: as large as its own program allows, whatever is in it.
  slack: 160 << 20,
  async samples() {
    const [json, text] = [linesOf(LINES), linesOf(TEXTS.map(utf8))];
    const packed = readFileSync(path.join(SAMPLES, "lines.jsonl.zst"));
    return [
      ["a.jsonl", json],
      ["a.txt", text],
      ["a.jsonl.gz", new Uint8Array(gzipSync(json))],
      ["a.txt.gz", new Uint8Array(Buffer.concat([gzipSync(text), gzipSync(text)]))],
      ["a.jsonl.zst", new Uint8Array(packed)],
    ].map((entry) => new Map([/** @type {[string, Uint8Array]} */ (entry)]));
  },
  mutate(random, files) {
    const name = [...files.keys()][0];
    return changed(files, name, (bytes) => {
      if (random.once(3)) return mutateBytes(random, bytes);
      const content = otherLines(random, name);
      const whole = name.endsWith(".gz")
        ? new Uint8Array(gzipSync(content, { level: 1 }))
        : name.endsWith(".zst")
          ? asZstd(random, content)
          : content;
      return random.once(6) ? mutateBytes(random, whole) : whole;
    });
  },
  async read(folder, thorough) {
    await readAll(folder, {});
    if (thorough) await readAll(folder, { textUnit: "file", maxDocumentBytes: 1 << 16 });
  },
};

/** @param {string} folder @param {import("@openelm/data").ReadOptions} options */
async function readAll(folder, options) {
  const files = readdirSync(folder).map((name) => path.join(folder, name));
  for await (const { text } of readDocuments(files, options))
    if (typeof text !== "string") throw new Error(text);
}

/** Samples of Parquet, by what is special in them; a column in a structure has the names of both. */
const PARQUET = ["plain", "snappy", "zstd", "lz4", "lengths", "nested"];

/** @type {Format} */
export const parquet = {
  about: "documents of a corpus in Parquet",
  async samples() {
    return PARQUET.map(
      (name) =>
        new Map([[`${name}.parquet`, new Uint8Array(readFileSync(path.join(SAMPLES, `${name}.parquet`)))]]),
    );
  },
  mutate: (random, files) => changed(files, [...files.keys()][0], (bytes) => mutateParquet(random, bytes)),
  read: (folder) =>
    readAll(folder, { textKey: readdirSync(folder)[0].startsWith("nested") ? "row.text" : "text" }),
};

/** @type {Promise<Tokenizer> | undefined} */
let TOKENIZER;

/** A tokenizer that is read once. */
const tokenizer = () => {
  TOKENIZER ??= Tokenizer.train(TEXTS.values(), { vocabSize: 280, minFrequency: 0 });
  return TOKENIZER;
};

/** @param {string} folder */
const loader = async (folder) =>
  new CorenetLoader({
    data: [{ fileName: path.join(folder, "part-{file_id:02d}.jsonl"), textKey: "text", fileIdRange: [0, 2] }],
    tokenizer: await tokenizer(),
    batchSize: 2,
    sequenceLength: 8,
    documentSplitSize: 4,
    shuffleData: true,
    workers: 2,
    prefetch: 1,
  });

/** @type {Format} */
export const corenetData = {
  about: "what CoreNet's loader reads: its files, and where a run stood in them",
  async samples(folder) {
    const files = new Map([
      ["part-00.jsonl", linesOf(LINES.slice(0, 4))],
      ["part-01.jsonl", linesOf(LINES.slice(4))],
    ]);
    for (const [name, bytes] of files) writeFileSync(path.join(folder, name), bytes);
    const whole = await loader(folder);
    await whole.next();
    await whole.next();
    return [files.set("state.json", utf8(JSON.stringify(whole.state)))];
  },
  mutate(random, files) {
    if (random.once(2)) return changed(files, "state.json", (bytes) => mutateJson(random, bytes));
    return new Map(files).set(`part-0${random.below(2)}.jsonl`, otherLines(random, ".jsonl"));
  },
  async read(folder) {
    const batches = await loader(folder);
    const state = stateIn(path.join(folder, "state.json"));
    for (let i = 0; i < 2; i++) await batches.next();
    if (state === undefined) return;
    await batches.restore(/** @type {import("@openelm/data").CorenetState} */ (state));
    for (let i = 0; i < 2; i++) await batches.next();
  },
};
