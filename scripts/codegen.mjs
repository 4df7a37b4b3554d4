// npm run codegen: writes everything that is derived from the op table.
import { codegen } from "./lib/build.mjs";
import { main } from "./lib/run.mjs";
import { setup } from "./lib/setup.mjs";

await main(async () => {
  await setup();
  await codegen();
});
