// Who may depend on whom among the Rust crates, and which may hold `unsafe`.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import path from "node:path";

/**
 * Violations of the crate table, one sentence each.
 *
 * @param {string} root
 * @param {{ crates: Record<string, string[]>, cratesWithUnsafe: string[], onlyIn: Record<string, string[]>, devOnly?: Record<string, string[]> }} layers -
 *   `devOnly`: crates that tests and examples of a crate may use beyond its layer.
 */
export function checkCrates(root, { crates, cratesWithUnsafe, onlyIn, devOnly = {} }) {
  const folders = [
    ...readdirSync(path.join(root, "native/crates")).map((name) => `native/crates/${name}`),
    "native/xtask",
  ];
  const present = folders.filter((folder) => existsSync(path.join(root, folder, "Cargo.toml")));
  const names = new Set(present.map((folder) => path.posix.basename(folder)));
  const problems = [...new Set([...Object.keys(crates), ...Object.keys(devOnly)])]
    .filter((name) => !names.has(name))
    .map((name) => `layers.json: ${name} is no crate`);
  for (const folder of present) {
    const name = path.posix.basename(folder);
    const allowed = crates[name];
    if (!allowed) {
      problems.push(`${folder}: ${name} is missing in layers.json`);
      continue;
    }
    const dependencies = dependenciesOf(readFileSync(path.join(root, folder, "Cargo.toml"), "utf8"));
    problems.push(...unusedDevOnly(name, devOnly[name] ?? [], allowed, dependencies));
    for (const { dependency, section } of dependencies) {
      const inTests = section === "dev-dependencies" && devOnly[name]?.includes(dependency);
      if (names.has(dependency) && !allowed.includes(dependency) && !inTests) {
        problems.push(
          `${folder}/Cargo.toml: [${section}] ${dependency} is not in its layer (${allowed.join(", ") || "none"})`,
        );
      }
      const owners = onlyIn[dependency];
      if (owners && !owners.includes(name))
        problems.push(`${folder}/Cargo.toml: only ${owners.join(", ")} may depend on ${dependency}`);
    }
    if (!cratesWithUnsafe.includes(name)) problems.push(...withoutForbid(root, folder));
  }
  return problems;
}

/**
 * Exceptions for tests that nothing needs.
 *
 * @param {string} name @param {string[]} exceptions @param {string[]} allowed
 * @param {{ dependency: string, section: string }[]} dependencies
 */
function unusedDevOnly(name, exceptions, allowed, dependencies) {
  const isNeeded = (/** @type {string} */ to) =>
    !allowed.includes(to) &&
    dependencies.some(({ dependency, section }) => dependency === to && section === "dev-dependencies");
  return exceptions
    .filter((to) => !isNeeded(to))
    .map((to) => `layers.json: ${name} does not need ${to} under devOnly; remove it`);
}

/**
 * The dependencies in a Cargo.toml, in all three forms: a key of a table, a dotted key, a table of its own.
 *
 * @param {string} manifest
 */
export function dependenciesOf(manifest) {
  const found = [];
  let section = "";
  for (const line of manifest.split("\n")) {
    const header = line.match(/^\s*\[([^\]]+)\]/)?.[1];
    if (header !== undefined) section = header;
    const kind = section.match(/(?:^|\.)((?:dev-|build-)?dependencies)(?:\.(.+))?$/);
    if (!kind || section.startsWith("workspace.")) continue;
    const dependency =
      header === undefined ? kind[2] === undefined && line.match(/^\s*"?([\w-]+)"?\s*[.=]/)?.[1] : kind[2];
    if (dependency) found.push({ dependency, section: kind[1] });
  }
  return found;
}

/** Roots of a crate that do not forbid `unsafe`. @param {string} root @param {string} folder */
function withoutForbid(root, folder) {
  const bins = path.join(root, folder, "src/bin");
  const files = [
    "src/lib.rs",
    "src/main.rs",
    ...(existsSync(bins) ? readdirSync(bins).map((file) => `src/bin/${file}`) : []),
  ];
  return files
    .filter((file) => file.endsWith(".rs") && existsSync(path.join(root, folder, file)))
    .filter(
      (file) => !/^#!\[forbid\(unsafe_code\)\]$/m.test(readFileSync(path.join(root, folder, file), "utf8")),
    )
    .map(
      (file) =>
        `${folder}/${file}: must begin with #![forbid(unsafe_code)]; unsafe belongs to the crates in layers.json`,
    );
}
