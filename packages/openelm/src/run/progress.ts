//! How far a run is that another process began.
import { readFile } from "node:fs/promises";
import { join } from "node:path";

/** Where a run stands, by its newest checkpoint. */
export interface RunProgress {
  readonly step: number;
  /** Seconds of training. */
  readonly elapsed: number;
  /** Learning rate of the last update. */
  readonly lr: number;
}

/** Reads where the run in a folder stands; undefined where there is no checkpoint. The trainer checks it in full. */
export async function readProgress(folder: string): Promise<RunProgress | undefined> {
  const checkpoints = join(folder, "checkpoints");
  try {
    const { folder: name } = JSON.parse(await readFile(join(checkpoints, "latest.json"), "utf8")) as {
      folder: string;
    };
    const { step, elapsed, lr } = JSON.parse(
      await readFile(join(checkpoints, name, "state.json"), "utf8"),
    ) as RunProgress;
    return { step, elapsed, lr };
  } catch {
    return undefined;
  }
}
