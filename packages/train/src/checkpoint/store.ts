//! The checkpoints of a run: folders `step-NNNNNNNN`, and `latest.json` that names the one to go on from.
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { FormatError, isOpenELMError } from "@openelm/native";
import { loadSafetensors, saveSafetensors, type Tensor } from "@openelm/tensor";
import {
  factsOf,
  namesIn,
  readIfThere,
  removeFolder,
  removeLeftovers,
  writeFileDurably,
  writeFolderDurably,
} from "./durable.js";
import type { ModelFiles } from "./model-files.js";
import { parseState, type RunState, type StateFile } from "./state.js";

const STATE = "state.json";
const OPTIMIZER = "optimizer.safetensors";
const LATEST = "latest.json";
const NAME = /^step-(\d{8,})$/;

/** How the folder of a step is called. */
export const checkpointName = (step: number): string => `step-${String(step).padStart(8, "0")}`;

/** All that a checkpoint holds, in tensors that nobody changes any more. */
export interface Snapshot {
  readonly weights: ReadonlyMap<string, Tensor>;
  readonly optimizer: ReadonlyMap<string, Tensor>;
  readonly state: RunState;
}

/** A checkpoint whose files are what they should be. */
export interface Found {
  readonly folder: string;
  readonly state: StateFile;
}

/** Which checkpoints stay. */
export interface Retention {
  /** So many of the last. */
  readonly keepLast: number;
  /** And so many of those with the lowest held-out loss. */
  readonly keepBest: number;
}

/** The checkpoints in one folder. */
export class CheckpointStore {
  readonly folder: string;
  readonly #files: ModelFiles;
  readonly #versions: Readonly<Record<string, string>>;

  constructor(folder: string, files: ModelFiles, versions: Readonly<Record<string, string>> = {}) {
    this.folder = folder;
    this.#files = files;
    this.#versions = versions;
  }

  /**
   * Writes a checkpoint: whatever happens meanwhile, the one before stays whole and is found until this one is.
   *
   * @throws FileError if the disk does not take it.
   */
  async save({ weights, optimizer, state }: Snapshot, retention: Retention): Promise<string> {
    const name = checkpointName(state.step);
    const target = join(this.folder, name);
    await writeFolderDurably(target, async (folder) => {
      await this.#files.save(folder, weights);
      await saveSafetensors(join(folder, OPTIMIZER), optimizer);
      const names = (await namesIn(folder)).sort();
      const files = Object.fromEntries(
        await each(names, async (file) => [file, await factsOf(join(folder, file))] as const),
      );
      const content: StateFile = { version: 1, ...state, versions: this.#versions, files };
      await writeFile(join(folder, STATE), `${JSON.stringify(content, null, 2)}\n`);
    });
    await writeFileDurably(
      join(this.folder, LATEST),
      `${JSON.stringify({ folder: name, step: state.step })}\n`,
    );
    await this.#prune(name, retention);
    return target;
  }

  /** The checkpoint to go on from; `onSkip` hears of those that are broken. */
  async find(onSkip: (error: FormatError) => unknown = () => undefined): Promise<Found | undefined> {
    const steps = (await this.#steps()).reverse().map(checkpointName);
    const latest = await this.#latest(onSkip);
    const order = latest === undefined ? steps : [latest, ...steps.filter((name) => name !== latest)];
    for (const name of order) {
      const folder = join(this.folder, name);
      try {
        return { folder, state: await verify(folder) };
      } catch (error) {
        if (!isOpenELMError(error, "FORMAT")) throw error;
        onSkip(error as FormatError);
      }
    }
    return undefined;
  }

  /** Whether there is any checkpoint, whole or not. */
  async isEmpty(): Promise<boolean> {
    return (await this.#steps()).length === 0;
  }

  /** The tensors of a checkpoint, in memory of their own. */
  async load({ folder }: Found): Promise<{ weights: Map<string, Tensor>; optimizer: Map<string, Tensor> }> {
    const weights = await this.#files.load(folder);
    return { weights, optimizer: await loadSafetensors(join(folder, OPTIMIZER), { mmap: false }) };
  }

  /** Deletes what a run that was killed left half-made. */
  clean(): Promise<void> {
    return removeLeftovers(this.folder);
  }

  /** The checkpoints' folders, oldest first. */
  async list(): Promise<string[]> {
    return (await this.#steps()).map((step) => join(this.folder, checkpointName(step)));
  }

  async #steps(): Promise<number[]> {
    const steps = (await namesIn(this.folder)).flatMap((name) => NAME.exec(name)?.[1] ?? []).map(Number);
    return steps.sort((a, b) => a - b);
  }

  async #latest(onSkip: (error: FormatError) => unknown): Promise<string | undefined> {
    const path = join(this.folder, LATEST);
    const text = await readIfThere(path);
    if (text === undefined) return undefined;
    try {
      const { folder } = JSON.parse(text) as { folder: string };
      if (NAME.test(folder)) return folder;
    } catch {
      // told below
    }
    onSkip(new FormatError(`${path} names no checkpoint; the newest whole one is taken`, { path }));
    return undefined;
  }

  async #prune(current: string, { keepLast, keepBest }: Retention): Promise<void> {
    const steps = await this.#steps();
    const keep = new Set([current, ...steps.slice(-keepLast).map(checkpointName)]);
    if (keepBest > 0) {
      const measured = await each(steps, async (step) => ({
        step,
        metric: await metricOf(join(this.folder, checkpointName(step))),
      }));
      const known = measured.filter((m): m is { step: number; metric: number } => m.metric !== undefined);
      known.sort((a, b) => a.metric - b.metric || b.step - a.step);
      for (const { step } of known.slice(0, keepBest)) keep.add(checkpointName(step));
    }
    for (const step of steps) {
      const name = checkpointName(step);
      if (!keep.has(name)) await removeFolder(join(this.folder, name));
    }
  }
}

/**
 * Checks every file of a checkpoint against `state.json`.
 *
 * @throws FormatError naming the file that is missing or is not what was written.
 */
export async function verify(folder: string): Promise<StateFile> {
  const path = join(folder, STATE);
  const text = await readIfThere(path);
  if (text === undefined)
    throw new FormatError(`${folder} is no whole checkpoint: ${STATE} is missing`, { path });
  const state = parseState(text, path);
  const there = new Set(await namesIn(folder));
  for (const [name, { bytes, sha256 }] of Object.entries(state.files)) {
    const file = join(folder, name);
    if (name.includes("/") || name.includes("\\"))
      throw new FormatError(`${path} names a file elsewhere: ${name}`, { path });
    if (!there.has(name))
      throw new FormatError(`${folder} is no whole checkpoint: ${name} is missing`, { path: file });
    const facts = await factsOf(file);
    if (facts.bytes !== bytes)
      throw new FormatError(`${file} has ${facts.bytes} bytes, ${bytes} were written`, { path: file });
    if (facts.sha256 !== sha256)
      throw new FormatError(`${file} is not what was written: its SHA-256 differs`, { path: file });
  }
  return state;
}

async function metricOf(folder: string): Promise<number | undefined> {
  const path = join(folder, STATE);
  const text = await readIfThere(path);
  try {
    return text === undefined ? undefined : parseState(text, path).metric;
  } catch (error) {
    // A broken one has no metric to be kept for.
    if (isOpenELMError(error, "FORMAT")) return undefined;
    throw error;
  }
}

/** `Promise.all` one after another, so that only one file is open. */
async function each<T, R>(items: readonly T[], fn: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  for (const item of items) results.push(await fn(item));
  return results;
}
