import { openGoldens } from "./files.js";
import { checkInterop } from "./interop.js";
import { checkModels } from "./model.js";
import { checkOps } from "./ops.js";
import { checkOrder } from "./order.js";
import { Report } from "./report.js";
import { checkTokenizer } from "./tokenizer.js";

export { Report } from "./report.js";

/** Runs every check of a folder of goldens. */
export async function checkGoldens(dir: string, paramsPath: string): Promise<Report> {
  const goldens = await openGoldens(dir, paramsPath);
  const report = new Report();
  for (const check of [checkModels, checkOps, checkInterop, checkTokenizer, checkOrder])
    await check(goldens, report);
  return report;
}
