// npm run quickstart [-- options of openelm quickstart]: from a fresh clone to a trained model.
import { build } from "./lib/build.mjs";
import { main, run } from "./lib/run.mjs";
import { setup } from "./lib/setup.mjs";

await main(async () => {
  await setup({ print: true });
  await build();
  // Ctrl-C reaches the command too, which saves first; this script must outlive it.
  process.on("SIGINT", () => undefined);
  const args = ["packages/openelm/bin/openelm.js", "quickstart", ...process.argv.slice(2)];
  return (await run(process.execPath, args)).status;
});
