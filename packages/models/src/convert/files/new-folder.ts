import { mkdir, readdir, rename, rm } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { UsageError } from "@openelm/native";
import { asFileError, temporaryName } from "./new-file.js";

/**
 * Makes a folder by `write`, which fills one of another name; it gets its own name when it is whole.
 *
 * @throws UsageError if there is one already that is not empty and may not be replaced; FileError if the system refuses.
 */
export async function newFolder(
  path: string,
  { replace }: { readonly replace: boolean },
  write: (folder: string) => Promise<void>,
): Promise<void> {
  const place = resolve(path);
  if (!replace && (await isFilled(place))) {
    throw new UsageError(`${path} exists and is not empty; choose another place or allow it to be replaced`);
  }
  const temporary = temporaryName(place);
  try {
    await mkdir(dirname(place), { recursive: true });
    await mkdir(temporary);
    await write(temporary);
    const old = temporaryName(place);
    const hasOld = await rename(place, old).then(
      () => true,
      (error: NodeJS.ErrnoException) => {
        if (error.code === "ENOENT") return false;
        throw error;
      },
    );
    await rename(temporary, place);
    if (hasOld) await rm(old, { recursive: true, force: true });
  } catch (error) {
    await rm(temporary, { recursive: true, force: true });
    throw asFileError(error, path);
  }
}

async function isFilled(path: string): Promise<boolean> {
  try {
    return (await readdir(path)).length > 0;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return false;
    throw new UsageError(`${path} exists and is no folder`);
  }
}
