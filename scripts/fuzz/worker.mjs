// One process that reads inputs of one format: node worker.mjs '{"name", "seed", "from", "to", "folder", "progress"}'
//
// Says what is wrong as a line of JSON each; the number of the input that it is at stands in the file `progress`, so that
// whoever started it knows which one it was when it hangs or dies.
import { openSync, writeSync } from "node:fs";
import path from "node:path";
import { Fuzz } from "./fuzz.mjs";
import { readWithoutThreads } from "./sync-files.mjs";

/** @typedef {{ name: string, seed: number, from: number, to: number, until?: number, folder: string, progress: string,
 * module?: string }} Task - `module` is the address of the list of formats. */

/** @type {Task} */
const {
  name,
  seed,
  from,
  to,
  until = Number.POSITIVE_INFINITY,
  folder,
  progress,
  module = "./formats.mjs",
} = JSON.parse(process.argv[2] ?? "{}");
const say = (/** @type {object} */ line) => writeSync(1, `${JSON.stringify(line)}\n`);

const file = openSync(progress, "w");
const place = new Float64Array(1);
const at = (/** @type {number} */ index) => {
  place[0] = index;
  writeSync(file, place, 0, 8, 0);
};

const { FORMATS } = await import(module);
const fuzz = new Fuzz(name, FORMATS[name], {
  seed,
  folder: path.join(folder, "input"),
  onRefusal: (kind) => say({ type: "refusal", kind }),
});
readWithoutThreads();
at(-1);
await fuzz.prepare(path.join(folder, "samples"));
const start = performance.now();
const counts = (/** @type {number} */ index) => {
  const { accepted, refused } = fuzz;
  return {
    type: "counts",
    next: index,
    seconds: (performance.now() - start) / 1000,
    accepted,
    refused,
    rss: process.memoryUsage.rss(),
  };
};
let index = from;
let told = start;
for (; index < to && Date.now() < until; index++) {
  at(index);
  const failure = await fuzz.one(index);
  if (failure !== undefined) say({ type: "failure", ...failure });
  if (performance.now() - told > 1000) {
    told = performance.now();
    say(counts(index + 1));
  }
}
say(counts(index));
say({ type: "end" });
// Threads of the core may be at work; nothing of theirs is waited for.
process.exit(0);
