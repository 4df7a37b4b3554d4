// npm run version-packages: applies the changesets; the crates and both lock files follow the packages.
import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { cargo } from "./lib/build.mjs";
import { main, mustRun, NATIVE, npm, readJson, tool } from "./lib/run.mjs";
import { setup } from "./lib/setup.mjs";

await main(async () => {
  await setup();
  await mustRun(...tool("@changesets/cli", ["version"], "changeset"));
  const { version } = readJson("packages/native/package.json");
  const manifest = path.join(NATIVE, "Cargo.toml");
  const text = readFileSync(manifest, "utf8");
  writeFileSync(manifest, text.replace(/^version = ".*"$/m, `version = "${version}"`));
  await mustRun(...cargo(["update", "--workspace", "--offline"]));
  await mustRun(...npm(["install", "--package-lock-only", "--no-audit", "--no-fund"]));
});
