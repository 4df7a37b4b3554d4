//! `npm run goldens -- --dir DIR --params FILE [--json]`
import { parseArgs } from "node:util";
import { isOpenELMError } from "@openelm/native";
import { checkGoldens } from "./index.js";

const HELP = `Checks the packages against reference outputs of other programs.

  --dir DIR       the folder of goldens
  --params FILE   the parameters that they were made from (default: DIR/make/params.json)
  --json          print one JSON object: {"checked", "failed", "worst", "failures"}

  npm run goldens -- --dir packages/testing/goldens --params packages/testing/goldens/make/params.json`;

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      dir: { type: "string" },
      params: { type: "string" },
      json: { type: "boolean" },
      help: { type: "boolean", short: "h" },
    },
  });
  if (values.help || values.dir === undefined) {
    console.log(HELP);
    return values.help ? 0 : 2;
  }
  const report = await checkGoldens(values.dir, values.params ?? `${values.dir}/make/params.json`);
  if (values.json) console.log(JSON.stringify(report));
  else {
    for (const failure of report.failures.slice(0, 50)) console.error(`FAILED ${failure}`);
    console.log(`${report.checked} checked, ${report.failures.length} failed`);
  }
  return report.failures.length === 0 && report.checked > 0 ? 0 : 1;
}

main().then(
  (code) => {
    process.exitCode = code;
  },
  (error: unknown) => {
    // A wrong option is its user's mistake, and needs no stack.
    const isExpected =
      isOpenELMError(error) || String((error as NodeJS.ErrnoException).code).startsWith("ERR_PARSE_ARGS");
    console.error(isExpected ? `goldens: ${(error as Error).message}` : error);
    process.exitCode = 2;
  },
);
