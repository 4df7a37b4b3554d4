// npm run build [-- --native] [-- turbo options]: builds every workspace, or only the native core.
import { build } from "./lib/build.mjs";
import { main } from "./lib/run.mjs";
import { setup } from "./lib/setup.mjs";

await main(async () => {
  const args = process.argv.slice(2);
  const native = args.includes("--native");
  await setup();
  await build({ only: native ? ["@openelm/native"] : [], args: args.filter((arg) => arg !== "--native") });
});
