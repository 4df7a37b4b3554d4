//! One run in a folder at a time.
import { mkdir, open, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { FileError } from "@openelm/native";
import { asFileError, readIfThere } from "./durable.js";

interface Owner {
  readonly pid: number;
  /** When the process began, as its system says it: process numbers are used again. */
  readonly started: string | undefined;
}

/**
 * Takes a run's folder; the returned function gives it back.
 *
 * The lock of a process that has ended counts for nothing.
 *
 * @throws FileError naming the process that has it.
 */
export async function lockFolder(folder: string): Promise<() => Promise<void>> {
  const path = join(folder, "run.lock");
  const mine: Owner = { pid: process.pid, started: await startOf(process.pid) };
  try {
    await mkdir(folder, { recursive: true });
    for (let attempt = 0; ; attempt++) {
      try {
        const handle = await open(path, "wx");
        await handle.writeFile(JSON.stringify(mine));
        await handle.close();
        return () => rm(path, { force: true });
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "EEXIST" || attempt > 0) throw error;
        const owner = await ownerOf(path);
        if (owner !== undefined && (await isAlive(owner))) {
          throw new FileError(
            `${folder} is in use by the run of process ${owner.pid}; wait for it, stop it, or choose another folder`,
            { path: folder },
          );
        }
        await rm(path, { force: true });
      }
    }
  } catch (error) {
    throw asFileError(error, folder, "write");
  }
}

async function ownerOf(path: string): Promise<Owner | undefined> {
  try {
    return JSON.parse((await readIfThere(path)) ?? "") as Owner;
  } catch (error) {
    // Cut off by a kill.
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

async function isAlive({ pid, started }: Owner): Promise<boolean> {
  try {
    process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
  return started === (await startOf(pid));
}

/** Linux has it in /proc; elsewhere a number alone must do. */
async function startOf(pid: number): Promise<string | undefined> {
  try {
    const stat = await readFile(`/proc/${pid}/stat`, "utf8");
    // The name of the program, in parentheses, may hold anything.
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19];
  } catch {
    return undefined;
  }
}
