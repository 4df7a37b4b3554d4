// Our tokenizers beside SentencePiece and Hugging Face's, on many random texts.
import { readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { Tokenizer } from "@openelm/data";
import { bytesOf } from "../fuzz/mutate/protobuf.mjs";
import { mustRun, ROOT } from "../lib/run.mjs";
import { randomIds, randomTexts } from "./strings.mjs";

/** @typedef {import("./checks.mjs").Place} Place */

/** The first id of a byte and the last one, in Llama's vocabulary and the small one. */
const BYTES = /** @type {const} */ ([3, 258]);

/** The vocabulary of Llama 1 and 2 out of a package, as a SentencePiece model and as merges. @param {string} modules */
async function llamaVocabulary(modules) {
  const file = path.join(modules, "llama-tokenizer-js/llama-tokenizer.js");
  const { default: tokenizer } = await import(pathToFileURL(file).href);
  /** @type {string[]} */
  const pieces = tokenizer.vocabById;
  /** @type {string[][]} */
  const merges = [...tokenizer.merges.keys()].map((/** @type {string} */ pair) => pair.split(" "));
  const score = (/** @type {string} */ piece, /** @type {number} */ id) => {
    if (id <= BYTES[1]) return 0;
    // The package ranks runs of spaces behind all others.
    return /^▁▁+$/.test(piece) ? -1e9 : -(id - BYTES[1] - 1);
  };
  const type = (/** @type {number} */ id) => (id === 0 ? 2n : id < BYTES[0] ? 3n : id <= BYTES[1] ? 6n : 1n);
  const model = bytesOf([
    ...pieces.map((piece, id) => {
      const float = Buffer.alloc(4);
      float.writeFloatLE(score(piece, id));
      const value = [
        { number: 1, kind: 2, value: new Uint8Array(Buffer.from(piece)) },
        { number: 2, kind: 5, value: new Uint8Array(float) },
        { number: 3, kind: 0, value: type(id) },
      ];
      return { number: 1, kind: 2, value };
    }),
    numbers(2, { 3: 2, 4: pieces.length, 35: 1, 40: 0, 41: 1, 42: 2 }),
    numbers(3, { 3: 1, 4: 0, 5: 1 }),
  ]);
  return { pieces, merges, model };
}

/** @param {number} number @param {Record<number, number>} fields */
const numbers = (number, fields) => ({
  number,
  kind: 2,
  value: Object.entries(fields).map(([key, value]) => ({
    number: Number(key),
    kind: 0,
    value: BigInt(value),
  })),
});

/** @param {string} python @param {string | undefined} modules - Has Llama's vocabulary. @param {Place} place @param {number} count */
export async function tokenizers(python, modules, place, count) {
  const small = path.join(ROOT, "packages/testing/goldens/tiny-sp.model");
  await compare(python, "tiny-sp.model", { model: small }, place, count);
  if (modules === undefined) return;
  const { model, pieces, merges } = await llamaVocabulary(modules);
  const file = path.join(place.folder, "llama.model");
  await writeFile(file, model);
  const json = path.join(place.folder, "llama-tokenizer.json");
  await compare(python, "Llama's vocabulary", { model: file, json, pieces, merges }, place, count);
}

/** @param {string} python @param {string} name @param {{ model: string, json?: string, pieces?: string[], merges?: string[][] }} vocabulary @param {Place} place @param {number} count */
async function compare(python, name, vocabulary, { folder, report }, count) {
  const texts = randomTexts(count);
  const pieces = await Tokenizer.load(vocabulary.model);
  const ids = randomIds(count, pieces.vocabSize, BYTES);
  const [task, out] = [path.join(folder, "tokenizers.json"), path.join(folder, "tokenizers-answer.json")];
  await writeFile(task, JSON.stringify({ ...vocabulary, texts, ids }));
  const script = fileURLToPath(new URL("tokenizers_check.py", import.meta.url));
  await mustRun(python, [script, task, out], { quiet: true });
  const answer = JSON.parse(await readFile(out, "utf8"));
  const kinds = /** @type {const} */ ([
    ["sentencepiece", "pieces", vocabulary.model],
    ["tokenizers", "json", vocabulary.json],
  ]);
  for (const [program, kind, file] of kinds) {
    if (file === undefined) continue;
    const ours = await Tokenizer.load(file);
    const encoded = (await ours.encodeBatch(texts)).map((list) => [...list]);
    all(report, program, `${name}: ids of ${count} random texts`, texts, encoded, answer[kind].ids);
    const decoded = [];
    for (const list of ids) decoded.push(await ours.decode(list, { skipSpecial: false }));
    all(report, program, `${name}: texts of ${count} lists of random ids`, ids, decoded, answer[kind].texts);
    // A decoder of tokenizer.json takes back the characters before a byte that fits none, which a stream has written.
    const lists = kind === "pieces" ? [...encoded, ...ids] : encoded;
    const back = lists.map((list) => streamed(ours, list));
    const whole = [];
    for (const list of lists) whole.push(await ours.decode(list));
    all(report, program, `${name}: the same text as a stream`, lists, back, whole);
  }
}

/** @param {Tokenizer} tokenizer @param {number[]} ids */
function streamed(tokenizer, ids) {
  const stream = tokenizer.stream();
  return ids.map((id) => stream.push(id)).join("") + stream.end();
}

/** @param {Place["report"]} report @param {string} program @param {string} what @param {readonly unknown[]} inputs @param {readonly unknown[]} ours @param {readonly unknown[]} theirs */
function all(report, program, what, inputs, ours, theirs) {
  const wrong = inputs.flatMap((_, i) => (JSON.stringify(ours[i]) === JSON.stringify(theirs[i]) ? [] : [i]));
  const first = wrong[0] ?? 0;
  const shown = (/** @type {unknown} */ value) => JSON.stringify(value)?.slice(0, 150);
  const detail = `${wrong.length} differ; ${shown(inputs[first])} is ${shown(ours[first])}, theirs ${shown(theirs[first])}`;
  report.that(
    program,
    what,
    wrong.length === 0 && ours.length === theirs.length,
    wrong.length === 0 ? "" : detail,
  );
}
