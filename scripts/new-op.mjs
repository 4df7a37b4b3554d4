// npm run new-op NAME: writes the files of a new op, whose tests fail until it is written.
import { codegen, xtask } from "./lib/build.mjs";
import { main } from "./lib/run.mjs";
import { setup } from "./lib/setup.mjs";

await main(async () => {
  await setup();
  await xtask(["new-op", ...process.argv.slice(2)], { table: true });
  await codegen();
});
