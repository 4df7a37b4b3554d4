#!/usr/bin/env node
// The command. It is committed, unlike what it imports, so that npm links it in a clone that is not built yet.
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

const main = new URL("../dist/main.js", import.meta.url);
if (existsSync(fileURLToPath(main))) {
  const { main: run } = await import(main.href);
  process.exitCode = await run(process.argv.slice(2));
} else {
  process.stderr.write("openelm is not built: run npm run build at the top of the repository\n");
  process.exitCode = 1;
}
