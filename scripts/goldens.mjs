// npm run goldens -- --dir DIR --params FILE [--json]: holds the models to stored reference outputs.
import { existsSync } from "node:fs";
import path from "node:path";
import { build } from "./lib/build.mjs";
import { main, ROOT, run, ScriptError } from "./lib/run.mjs";
import { setup } from "./lib/setup.mjs";

const PROGRAM = "packages/goldens/dist/main.js";

await main(async () => {
  await setup();
  await build();
  if (!existsSync(path.join(ROOT, PROGRAM))) throw new ScriptError(`${PROGRAM} is missing after the build`);
  return (await run(process.execPath, [PROGRAM, ...process.argv.slice(2)])).status;
});
