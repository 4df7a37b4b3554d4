// npm run docs:performance: writes docs/performance.md from the newest results of the benchmarks.
import { writeFileSync } from "node:fs";
import path from "node:path";
import { PAGE, performancePage } from "./lib/performance.mjs";
import { main, ROOT, ScriptError } from "./lib/run.mjs";

await main(async () => {
  const page = performancePage(ROOT);
  if (page === undefined) {
    throw new ScriptError("there are no results; npm run bench -- NAME --save makes some");
  }
  writeFileSync(path.join(ROOT, PAGE), page);
  process.stderr.write(`wrote ${PAGE}\n`);
});
