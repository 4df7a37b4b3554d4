// npm run bench:quantization -- RUN [options]: what quantization costs a run's model.
import { build } from "./lib/build.mjs";
import { main, run } from "./lib/run.mjs";
import { setup } from "./lib/setup.mjs";

await main(async () => {
  await setup();
  await build();
  const args = ["benchmarks/dist/quality/quantization.js", ...process.argv.slice(2)];
  return (await run(process.execPath, args)).status;
});
