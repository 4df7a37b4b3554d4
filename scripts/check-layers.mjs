// Who may import whom: holds packages and crates to layers.json.
import { readFileSync } from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { checkCrates } from "./lib/layers/crates.mjs";
import { checkPackages } from "./lib/layers/packages.mjs";
import { main, ROOT } from "./lib/run.mjs";

/**
 * Every violation below `root`, one sentence each.
 *
 * @param {string} root
 */
export function checkLayers(root) {
  const layers = JSON.parse(readFileSync(path.join(root, "layers.json"), "utf8"));
  return [...checkPackages(root, layers.packages), ...checkCrates(root, layers), ...checkVersions(root)];
}

/** The crates carry the version of the packages, because the binary reports its own. @param {string} root */
function checkVersions(root) {
  const cargo = readFileSync(path.join(root, "native/Cargo.toml"), "utf8").match(/^version = "(.*)"$/m)?.[1];
  const { version } = JSON.parse(readFileSync(path.join(root, "packages/native/package.json"), "utf8"));
  return cargo === version
    ? []
    : [`native/Cargo.toml: version must be ${version}, as in packages/native, is ${cargo}`];
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  await main(async () => {
    const problems = checkLayers(ROOT);
    for (const problem of problems) process.stdout.write(`${problem}\n`);
    return problems.length === 0 ? 0 : 1;
  });
}
