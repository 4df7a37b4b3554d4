// npm run fuzz [-- FORMAT… --inputs N --seed S --minutes M]: files that lie, read by everything that reads files.
import { existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { parseArgs } from "node:util";
import { distinct, save } from "./fuzz/failures.mjs";
import { build } from "./lib/build.mjs";
import { main, ROOT, ScriptError } from "./lib/run.mjs";
import { setup } from "./lib/setup.mjs";

const HELP = `npm run fuzz [-- FORMAT… --inputs N --seed S --minutes M]

Changes small valid files and reads them: each must come to a value or to one of our typed errors, in bounded time and
memory. Without formats: all.

  --inputs N     of each format (default 10000)
  --seed S       of the changes (default 1); the same seed gives the same inputs
  --minutes M    stop a format after so long, whatever is left
  --list         the formats
  --refusals     say in which ways inputs were refused, to see how far they come
  --only I       the input number I of a seed alone, and keep its files
  --replay DIR   read the files that a failure left in .fuzz

Memory is the growth of the process's highest address space (of its resident memory where there is no /proc), held to
96 MiB and 1 KiB a byte of the files; time is that of the processor, held to 2 s an input.`;

const OPTIONS = /** @type {const} */ ({
  inputs: { type: "string", default: "10000" },
  seed: { type: "string", default: "1" },
  minutes: { type: "string" },
  list: { type: "boolean" },
  refusals: { type: "boolean" },
  only: { type: "string" },
  replay: { type: "string" },
  help: { type: "boolean" },
});

/** Where failing inputs are kept; git ignores it. */
const KEPT = path.join(ROOT, ".fuzz");

await main(async () => {
  const { values, positionals } = parse();
  if (values.help) {
    process.stdout.write(`${HELP}\n`);
    return 0;
  }
  await setup();
  await build();
  // They import packages that the build has just made.
  const { FORMATS } = await import("./fuzz/formats.mjs");
  if (values.list) {
    for (const [name, { about }] of Object.entries(FORMATS))
      process.stdout.write(`${name.padEnd(16)}${about}\n`);
    return 0;
  }
  const unknown = positionals.find((name) => !Object.hasOwn(FORMATS, name));
  if (unknown !== undefined) throw new ScriptError(`there is no format ${unknown}; --list names them`);
  const names = positionals.length > 0 ? positionals : Object.keys(FORMATS);
  const folder = mkdtempSync(path.join(existsSync("/dev/shm") ? "/dev/shm" : os.tmpdir(), "openelm-fuzz-"));
  try {
    const seed = number(values.seed, "--seed");
    if (values.only !== undefined || values.replay !== undefined) {
      if (names.length !== 1) throw new ScriptError("name the one format that --only or --replay is for");
      return await again(names[0], FORMATS, folder, seed, values);
    }
    let failed = 0;
    for (const name of names) failed += await fuzz(name, FORMATS, folder, seed, values);
    return failed > 0 ? 1 : 0;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

function parse() {
  try {
    return parseArgs({ options: OPTIONS, allowPositionals: true });
  } catch (error) {
    throw new ScriptError(`${/** @type {Error} */ (error).message}\n\n${HELP}`);
  }
}

/** @param {string} text @param {string} option */
function number(text, option) {
  const value = Number(text);
  if (Number.isFinite(value) && value >= 0) return value;
  throw new ScriptError(`${option} must be a number, got ${text}`);
}

/** @param {string} name @param {typeof import("./fuzz/formats.mjs").FORMATS} formats @param {string} folder @param {number} seed @param {ReturnType<typeof parse>["values"]} values */
async function fuzz(name, formats, folder, seed, { inputs, minutes, refusals: list = false }) {
  const { supervise } = await import("./fuzz/supervise.mjs");
  const isTerminal = process.stderr.isTTY;
  const result = await supervise({
    name,
    seed,
    folder,
    inputs: number(inputs, "--inputs"),
    minutes: minutes === undefined ? undefined : number(minutes, "--minutes"),
    onProgress: ({ read, failures }) => {
      if (isTerminal) process.stderr.write(`\r${name.padEnd(16)}${read} read, ${failures.length} failed `);
    },
  });
  if (isTerminal) process.stderr.write("\r\u001b[K");
  const { read, accepted, refused, seconds, rss, failures, refusals } = result;
  const rate = seconds > 0 ? Math.round((accepted + refused) / seconds) : 0;
  process.stdout.write(
    `${failures.length === 0 ? "ok    " : "FAILED"}  ${name.padEnd(16)}${read} inputs, ${rate} a second, ${accepted} accepted, ` +
      `${refused} refused in ${refusals.size} ways, ${Math.round(rss / 2 ** 20)} MiB resident, seed ${seed}\n`,
  );
  if (list) for (const kind of [...refusals].sort()) process.stdout.write(`        ${kind}\n`);
  if (failures.length === 0) return 0;
  const { Fuzz } = await import("./fuzz/fuzz.mjs");
  const again = new Fuzz(name, formats[name], { seed, folder: path.join(folder, "again") });
  await again.prepare(samplesIn(folder, name));
  for (const { first, count } of distinct(failures)) {
    const kept = path.join(KEPT, `${name}-${seed}-${first.index}`);
    save(kept, again.input(first.index), first);
    const shown = first.message.split("\n").slice(0, 4).join("\n          ");
    process.stdout.write(
      `        ${count} of ${first.kind}, first input ${first.index}: ${shown}\n          ${kept}\n`,
    );
  }
  return failures.length;
}

/** @param {string} folder @param {string} name */
function samplesIn(folder, name) {
  const place = path.join(folder, `${name}-again`);
  rmSync(place, { recursive: true, force: true });
  mkdirSync(place, { recursive: true });
  return place;
}

/** One input again. @param {string} name @param {typeof import("./fuzz/formats.mjs").FORMATS} formats @param {string} folder @param {number} seed @param {ReturnType<typeof parse>["values"]} values */
async function again(name, formats, folder, seed, { only, replay }) {
  const { Fuzz } = await import("./fuzz/fuzz.mjs");
  const { filesIn } = await import("./fuzz/formats/models.mjs");
  const fuzz = new Fuzz(name, formats[name], { seed, folder: path.join(folder, "again") });
  await fuzz.prepare(samplesIn(folder, name));
  const index = only === undefined ? 0 : number(only, "--only");
  const files = replay === undefined ? fuzz.input(index) : filesIn(path.join(replay, "files"));
  const failure = await fuzz.read(files, index, true);
  if (replay === undefined) {
    const kept = path.join(KEPT, `${name}-${seed}-${index}`);
    save(
      kept,
      files,
      failure ?? { index, kind: "nothing", message: "it was read or refused as it should be" },
    );
    process.stdout.write(`${kept}\n`);
  }
  const how = fuzz.refused > 0 ? "refused" : "accepted";
  process.stdout.write(
    failure === undefined
      ? `ok      ${how}\n`
      : `FAILED  ${failure.kind}: ${failure.message}\n${failure.stack ?? ""}\n`,
  );
  return failure === undefined ? 0 : 1;
}
