import { FormatError, isOpenELMError } from "@openelm/native";
import { openGoldens } from "./files.js";
import { checkInterop } from "./interop.js";
import { checkModels } from "./model.js";
import { checkOps } from "./ops.js";
import { checkOrder } from "./order.js";
import { checkQuantized } from "./quantized.js";
import { Report } from "./report.js";
import { checkTokenizer } from "./tokenizer.js";

export { Report } from "./report.js";

/**
 * Runs every check of a folder of goldens.
 *
 * @throws FileError if a file is missing, FormatError if one is damaged or not of the form that is expected.
 */
export async function checkGoldens(dir: string, paramsPath: string): Promise<Report> {
  const goldens = await openGoldens(dir, paramsPath);
  const report = new Report();
  const checks = { checkModels, checkOps, checkInterop, checkTokenizer, checkOrder, checkQuantized };
  for (const [name, check] of Object.entries(checks)) {
    try {
      await check(goldens, report);
    } catch (cause) {
      if (isOpenELMError(cause)) throw cause;
      // The files' words are trusted to have the form of their types; where they have not, reading them fails.
      const message = `${dir}: ${name} cannot use the files: ${(cause as Error).message}`;
      throw new FormatError(message, { path: dir, cause });
    }
  }
  return report;
}
