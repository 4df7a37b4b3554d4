// Runs workers until all inputs have been read, whatever becomes of a worker: one that hangs or dies is a failure of the
// input that it was at, and the next one goes on behind it.
import { spawn } from "node:child_process";
import { mkdirSync, readFileSync, rmSync } from "node:fs";
import path from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

/** @typedef {{ index: number, kind: string, message: string, stack?: string }} Failure */
/** @typedef {{ read: number, accepted: number, refused: number, seconds: number, rss: number, failures: Failure[],
 * refusals: Set<string> }} Result - `refusals`: what they said, without names and numbers. */

const WORKER = fileURLToPath(new URL("worker.mjs", import.meta.url));
/** Milliseconds without a step after which an input hangs. The machine may be busy with other work. */
const HANG = 30_000;
/** Megabytes of JavaScript objects that a worker may have. */
const HEAP = 1024;

/**
 * @param {{ name: string, seed: number, inputs: number, minutes?: number, folder: string, onProgress?: (result: Result) => void,
 * module?: string, hang?: number }} task
 * @returns {Promise<Result>}
 */
export async function supervise({ name, seed, inputs, minutes, folder, onProgress, module, hang = HANG }) {
  /** @type {Result} */
  const all = { read: 0, accepted: 0, refused: 0, seconds: 0, rss: 0, failures: [], refusals: new Set() };
  const until = minutes === undefined ? undefined : Date.now() + minutes * 60_000;
  let from = 0;
  while (from < inputs && (until === undefined || Date.now() < until)) {
    const place = path.join(folder, name);
    rmSync(place, { recursive: true, force: true });
    mkdirSync(path.join(place, "samples"), { recursive: true });
    const task = {
      name,
      seed,
      from,
      to: inputs,
      until,
      folder: place,
      progress: path.join(place, "progress"),
      module,
    };
    const { next, failure, ended, ...counts } = await oneWorker(task, all, hang, onProgress);
    for (const key of /** @type {const} */ (["accepted", "refused", "seconds"])) all[key] += counts[key];
    all.rss = Math.max(all.rss, counts.rss);
    if (failure !== undefined) {
      if (failure.index < 0) throw new Error(`${name}: the valid inputs cannot be read: ${failure.message}`);
      all.failures.push(failure);
    }
    all.read = next;
    from = next;
    if (ended) break;
  }
  return all;
}

/** @param {import("./worker.mjs").Task} task @param {Result} all @param {number} hang @param {((result: Result) => void) | undefined} onProgress */
async function oneWorker(task, all, hang, onProgress) {
  const child = spawn(process.execPath, [`--max-old-space-size=${HEAP}`, WORKER, JSON.stringify(task)], {
    stdio: ["ignore", "pipe", "pipe"],
    // A panic that a guard catches would read the symbols of the whole core.
    // An allocator that reserves address space for every thread would hide what an input takes.
    env: { ...process.env, RUST_BACKTRACE: "0", MALLOC_ARENA_MAX: "1" },
  });
  const state = { next: task.from, seconds: 0, accepted: 0, refused: 0, rss: 0, ended: false };
  let errors = "";
  let last = { index: Number.NaN, since: Date.now() };
  let hangs = false;
  const watch = setInterval(
    () => {
      const index = indexIn(task.progress);
      if (index !== last.index) last = { index, since: Date.now() };
      else if (Date.now() - last.since > (index < 0 ? 10 * hang : hang)) {
        hangs = true;
        child.kill("SIGKILL");
      }
    },
    Math.min(1000, hang / 4),
  );
  child.stderr.on("data", (chunk) => {
    errors = `${errors}${chunk}`.slice(-4000);
  });
  const lines = createInterface({ input: child.stdout });
  lines.on("line", (line) => {
    const { type, ...rest } = JSON.parse(line);
    if (type === "failure") all.failures.push(rest);
    if (type === "refusal") all.refusals.add(rest.kind);
    if (type === "counts") Object.assign(state, rest);
    if (type === "end") state.ended = true;
    onProgress?.({ ...all, ...sums(all, state), read: state.next });
  });
  const closed = new Promise((resolve) => lines.on("close", resolve));
  const how = await new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code, signal) => resolve(signal ?? code));
  });
  await closed;
  clearInterval(watch);
  if (state.ended) return { ...state, failure: undefined };
  const index = indexIn(task.progress);
  const message = hangs ? `no end after ${hang / 1000} s` : `the process ended with ${how}: ${errors}`;
  return { ...state, next: index + 1, failure: { index, kind: hangs ? "hang" : "crash", message } };
}

/** @param {Result} all @param {{ accepted: number, refused: number, seconds: number }} state */
const sums = (all, { accepted, refused, seconds }) => ({
  accepted: all.accepted + accepted,
  refused: all.refused + refused,
  seconds: all.seconds + seconds,
});

/** The input that a worker is at; -1 before the first. @param {string} file */
function indexIn(file) {
  try {
    const bytes = readFileSync(file);
    return bytes.length < 8 ? -1 : bytes.readDoubleLE();
  } catch {
    return -1;
  }
}
