// What protocol.py does, for peers in JavaScript: runs cases for a program that asks in lines of JSON.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath, pathToFileURL } from "node:url";

/** Where `npm run bench:peers` installs. */
export const PEERS = fileURLToPath(new URL("../.peers/", import.meta.url));
export const THREADS = Number(process.env.OPENELM_BENCH_THREADS ?? 1);

// A line for the one who asks is all that may go to standard output; libraries like to greet there.
const write = process.stdout.write.bind(process.stdout);
process.stdout.write = process.stderr.write.bind(process.stderr);
const say = (answer) => write(`${JSON.stringify(answer)}\n`);

/**
 * The module of a package that was installed below `top`, and its version; where there is none it says that it is
 * missing, and ends.
 */
export async function load(name, top = PEERS) {
  try {
    const folder = path.join(top, "node_modules", name);
    const { version, exports } = JSON.parse(readFileSync(path.join(folder, "package.json"), "utf8"));
    const entry = exports === undefined ? undefined : moduleOf(exports["."] ?? exports);
    // A package with exports may have them for `import` alone; all others are found by `require`.
    const module =
      entry === undefined
        ? createRequire(path.join(top, "package.json"))(name)
        : await import(pathToFileURL(path.join(folder, entry)).href);
    return { module, version };
  } catch (error) {
    if (error.code !== "ENOENT") process.stderr.write(`${name}: ${error.message.split("\n")[0]}\n`);
    say({ missing: name });
    process.exit(0);
  }
}

const moduleOf = (entry) =>
  typeof entry === "object" ? moduleOf(entry.node ?? entry.import ?? entry.default) : entry;

/**
 * Answers until the input ends. `cases` maps names to functions that build a call without arguments; a call that gives
 * a promise is awaited each time.
 */
export async function serve(ready, cases) {
  say({ ready });
  let call;
  for await (const line of createInterface({ input: process.stdin })) {
    try {
      const question = JSON.parse(line);
      if (question.prepare) {
        const { case: name, ...options } = question.prepare;
        call = undefined;
        if (!(name in cases)) throw new Error(`there is no case ${name}`);
        call = await cases[name](options);
        say({ ready });
      } else {
        say({ seconds: await seconds(call, question.run) });
      }
    } catch (error) {
      say({ error: String(error?.message ?? error) });
    }
  }
  process.exit(0);
}

async function seconds(call, calls) {
  const since = performance.now();
  const first = call();
  if (typeof first?.then === "function") {
    await first;
    for (let i = 1; i < calls; i++) await call();
  } else {
    for (let i = 1; i < calls; i++) call();
  }
  return (performance.now() - since) / 1e3;
}

/** `size` numbers between -scale and scale, the same in every run. */
export function floats(size, scale = 1, seed = 1) {
  let state = seed;
  const next = () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return (state / 2 ** 31 - 1) * scale;
  };
  return Float32Array.from({ length: size }, next);
}

/** Targets of a batch. */
export const classes = (batch, count) => Int32Array.from({ length: batch }, (_, i) => i % count);
