// npm run bench -- NAME [--json] | --list: measures ours beside its peers.
import { build } from "./lib/build.mjs";
import { main, run } from "./lib/run.mjs";
import { setup } from "./lib/setup.mjs";

await main(async () => {
  await setup();
  await build();
  return (await run(process.execPath, ["benchmarks/dist/main.js", ...process.argv.slice(2)])).status;
});
