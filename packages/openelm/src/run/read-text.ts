import { readFile, stat } from "node:fs/promises";
import { FileError, UsageError } from "@openelm/native";

const LARGEST = 1 << 29;

/**
 * A text file, with lines ended by `\n`.
 *
 * @throws FileError if it cannot be read, UsageError if it is no UTF-8 text or too large to be held.
 */
export async function readText(file: string): Promise<string> {
  try {
    const { size } = await stat(file);
    if (size > LARGEST)
      throw new UsageError(`${file} is larger than 512 MiB: name it in a configuration as data.text`);
    const bytes = await readFile(file);
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes).replaceAll("\r\n", "\n");
  } catch (cause) {
    if (cause instanceof UsageError) throw cause;
    if (cause instanceof TypeError) throw new UsageError(`${file} is no UTF-8 text`, "USAGE", { cause });
    throw new FileError(`${file} cannot be read: ${(cause as Error).message}`, { path: file, cause });
  }
}
