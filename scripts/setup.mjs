// npm run setup: looks for the tools, installs the packages.
import { main } from "./lib/run.mjs";
import { setup } from "./lib/setup.mjs";

await main(() => setup({ print: true }));
