import { FormatError } from "@openelm/native";
import type { GeneratorState } from "@openelm/tensor";
import * as z from "zod";
import type { FileFacts } from "./durable.js";
import type { TuningFacts } from "./tuning.js";

/** Where a run stands, beside its tensors. */
export interface RunState {
  /** Updates done. */
  readonly step: number;
  /** Counted tokens so far. */
  readonly tokens: number;
  /** Seconds of training so far. */
  readonly elapsed: number;
  /** Updates that were skipped since the last that was not. */
  readonly skips: number;
  /** The loader's state. */
  readonly loader: unknown;
  readonly generators: Readonly<Record<string, GeneratorState>>;
  /** Learning rate of the last update, by which another schedule is noticed. */
  readonly lr: number;
  /** Held-out loss at this step, where it was measured. */
  readonly metric?: number | undefined;
  /** The lowest held-out loss so far. */
  readonly best?: number | undefined;
  /** The table by which products were computed, on a device that has one. */
  readonly tuning?: TuningFacts | undefined;
}

/** `state.json`: the run's state, and what every other file of the folder must hold. */
export interface StateFile extends RunState {
  readonly version: 1;
  /** Programs that wrote it. */
  readonly versions: Readonly<Record<string, string>>;
  readonly files: Readonly<Record<string, FileFacts>>;
}

const count = z.number().int().nonnegative();

const schema = z.object({
  version: z.literal(1),
  versions: z.record(z.string(), z.string()),
  step: count,
  tokens: count,
  elapsed: z.number().nonnegative(),
  skips: count,
  loader: z.unknown(),
  generators: z.record(z.string(), z.object({ seed: count, counter: count })),
  lr: z.number(),
  metric: z.number().optional(),
  best: z.number().optional(),
  tuning: z.object({ file: z.string().nullable(), hash: z.string(), products: count }).optional(),
  files: z.record(z.string(), z.object({ bytes: count, sha256: z.string().length(64) })),
});

/** @throws FormatError if `text` is no `state.json`. */
export function parseState(text: string, path: string): StateFile {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new FormatError(`${path} is not JSON: ${(cause as Error).message}`, { path, cause });
  }
  const result = schema.safeParse(json);
  if (result.success) return result.data as StateFile;
  const [issue] = result.error.issues;
  throw new FormatError(`${path}: ${issue!.path.join(".") || "it"}: ${issue!.message}`, { path });
}
