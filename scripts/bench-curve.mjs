// npm run bench:curve -- --text FILE [options]: the first steps of training beside PyTorch's.
import { build } from "./lib/build.mjs";
import { main, run } from "./lib/run.mjs";
import { setup } from "./lib/setup.mjs";

await main(async () => {
  await setup();
  await build();
  const args = ["benchmarks/dist/curves/loss-curve.js", ...process.argv.slice(2)];
  return (await run(process.execPath, args)).status;
});
