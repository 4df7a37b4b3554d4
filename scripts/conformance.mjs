// npm run conformance [-- --op NAME --json --verbose]: holds every kernel to the oracle of its op.
import { cargo } from "./lib/build.mjs";
import { main, run } from "./lib/run.mjs";
import { setup } from "./lib/setup.mjs";

await main(async () => {
  await setup();
  const args = ["run", "--quiet", "--release", "-p", "elm-conformance", "--", ...process.argv.slice(2)];
  return (await run(...cargo(args))).status;
});
