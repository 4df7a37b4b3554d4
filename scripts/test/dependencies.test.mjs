import { existsSync, readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { expect, test } from "vitest";
import { dependenciesOf } from "../lib/layers/crates.mjs";
import { ROOT, readJson } from "../lib/run.mjs";

const folders = (place) => (existsSync(path.join(ROOT, place)) ? readdirSync(path.join(ROOT, place)) : []);

/** What the manifests name, without this repository's own packages and crates. */
function used() {
  const manifests = [
    ".",
    "benchmarks",
    ...["packages", "examples"].flatMap((at) => folders(at).map((name) => `${at}/${name}`)),
  ]
    .map((place) => `${place}/package.json`)
    .filter((file) => existsSync(path.join(ROOT, file)));
  const npm = manifests.flatMap((file) => {
    const { dependencies, devDependencies, peerDependencies } = readJson(file);
    return Object.keys({ ...dependencies, ...devDependencies, ...peerDependencies });
  });
  const crates = folders("native/crates").map((name) => `native/crates/${name}/Cargo.toml`);
  const cargo = [...crates, "native/xtask/Cargo.toml"].flatMap((file) =>
    dependenciesOf(readFileSync(path.join(ROOT, file), "utf8")).map(({ dependency }) => dependency),
  );
  const workspace = readFileSync(path.join(ROOT, "native/Cargo.toml"), "utf8").replace(
    "[workspace.dependencies]",
    "[dependencies]",
  );
  cargo.push(...dependenciesOf(workspace).map(({ dependency }) => dependency));
  const own = (name) => /^(@openelm\/|openelm$|elm-)/.test(name);
  return {
    npm: [...new Set(npm)].filter((name) => !own(name)).sort(),
    cargo: [...new Set(cargo)].filter((name) => !own(name)).sort(),
  };
}

/** The first column of a table in docs/dependencies.md. */
function listed(title) {
  const text = readFileSync(path.join(ROOT, "docs/dependencies.md"), "utf8");
  const section = text.split(/^## /m).find((part) => part.startsWith(`${title}\n`)) ?? "";
  return [...section.matchAll(/^\| `([^`]+)`\s*\|/gm)].map(([, name]) => name).sort();
}

test.each(["npm", "cargo"])("docs/dependencies.md lists the %s dependencies of all manifests", (kind) => {
  expect(listed(kind)).toEqual(used()[kind]);
});
