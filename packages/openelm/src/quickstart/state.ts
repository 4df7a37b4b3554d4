//! What a quickstart leaves behind to go on from: `quickstart.json`.
import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { FormatError } from "@openelm/native";
import { writeFileDurably } from "@openelm/train";
import type { Answer } from "../run/assemble.js";

/** What makes one quickstart another than the next. */
export interface Settings {
  /** A file, or undefined for WordNet. */
  readonly text?: string | undefined;
  readonly minutes?: number | undefined;
  readonly steps?: number | undefined;
  readonly seed: number;
}

/** A look at the model: what it scores on text that it has not seen, and what it writes. */
export interface Look {
  /** Share of the training that is over. */
  readonly share: number;
  readonly step: number;
  /** Nats per token. */
  readonly loss: number;
  readonly bitsPerByte: number;
  readonly answers: readonly (Answer & {
    /** Whether nothing that begins like the prompt was trained on. */
    readonly unseen: boolean;
  })[];
}

/** Another program's bits per byte on the same text. */
export interface Yardstick {
  readonly name: string;
  readonly bitsPerByte: number;
  readonly note: string;
}

export interface QuickstartState {
  readonly version: 1;
  readonly settings: Settings;
  /** Facts about the text, for a person. */
  readonly corpus?: { readonly source: string; readonly bytes: number; readonly documents: number };
  readonly yardsticks?: readonly Yardstick[];
  readonly looks: readonly Look[];
  readonly finished: boolean;
}

const fileOf = (folder: string): string => join(folder, "quickstart.json");

/** The state in a folder, or undefined where none was begun. */
export async function readState(folder: string): Promise<QuickstartState | undefined> {
  const path = fileOf(folder);
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch {
    return undefined;
  }
  try {
    const state = JSON.parse(text) as QuickstartState;
    if (state.version === 1 && Array.isArray(state.looks)) return state;
  } catch {}
  throw new FormatError(
    `${path} is not what a quickstart writes; delete the folder ${folder} to begin anew`,
    { path },
  );
}

export async function writeState(folder: string, state: QuickstartState): Promise<void> {
  await mkdir(folder, { recursive: true });
  await writeFileDurably(fileOf(folder), `${JSON.stringify(state, null, 2)}\n`);
}

/** Whether a run that was begun with `a` may go on with `b`. */
export const sameSettings = (a: Settings, b: Settings): boolean =>
  (["text", "minutes", "steps", "seed"] as const).every((key) => a[key] === b[key]);
