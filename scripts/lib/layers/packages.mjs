// Who may import whom among the TypeScript packages.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { builtinModules } from "node:module";
import path from "node:path";
import { importsOf } from "./imports.mjs";

/** @typedef {{ imports?: string[], typesOnly?: string[] }} Layer */
/** @typedef {{ dependencies?: Record<string, string>, devDependencies?: Record<string, string>, peerDependencies?: Record<string, string>, optionalDependencies?: Record<string, string>, private?: boolean, name: string, version: string, exports?: Record<string, unknown> | string }} Manifest */

/**
 * Violations of the layers, one sentence each.
 *
 * @param {string} root
 * @param {Record<string, Layer>} layers
 */
export function checkPackages(root, layers) {
  const folders = readdirSync(path.join(root, "packages")).filter((name) =>
    existsSync(path.join(root, "packages", name, "package.json")),
  );
  // A private package is checked when it has a layer.
  const packages = folders
    .map((folder) => read(root, `packages/${folder}`))
    .filter(({ manifest }) => !manifest.private || manifest.name in layers);
  const workspace = new Map(packages.map((one) => [one.manifest.name, one]));
  const shared = manifestAt(root, ".").devDependencies ?? {};
  const missing = Object.keys(layers).filter((name) => !workspace.has(name));
  return [
    ...missing.map((name) => `layers.json: ${name} is no package`),
    ...packages.flatMap((one) => checkPackage(one, layers, workspace, shared)),
  ];
}

/** @typedef {{ folder: string, root: string, manifest: Manifest }} Package */

/** @param {string} root @param {string} folder @returns {Package} */
const read = (root, folder) => ({ root, folder, manifest: manifestAt(root, folder) });

/** @param {string} root @param {string} folder @returns {Manifest} */
const manifestAt = (root, folder) =>
  JSON.parse(readFileSync(path.join(root, folder, "package.json"), "utf8"));

/**
 * @param {Package} one
 * @param {Record<string, Layer>} layers
 * @param {Map<string, Package>} workspace
 * @param {Record<string, string>} shared - What the top of the repository offers to tests.
 */
function checkPackage(one, layers, workspace, shared) {
  const { folder, manifest, root } = one;
  const layer = layers[manifest.name];
  if (!layer) return [`${folder}: ${manifest.name} is missing in layers.json`];
  const allowed = layer.imports ?? [];
  const problems = [
    ...checkDependencies(one, allowed, workspace),
    ...checkReferences(one, allowed, workspace),
    ...(layer.typesOnly ?? [])
      .filter((name) => !allowed.includes(name))
      .map((name) => `layers.json: ${manifest.name} has ${name} under typesOnly but not under imports`),
  ];
  const runtime = {
    ...manifest.dependencies,
    ...manifest.peerDependencies,
    ...manifest.optionalDependencies,
  };
  for (const file of sources(path.join(root, folder))) {
    const inTests = /^(test|bench)\//.test(file);
    const declared = inTests ? { ...shared, ...runtime, ...manifest.devDependencies } : runtime;
    for (const found of importsOf(readFileSync(path.join(root, folder, file), "utf8"))) {
      const reason = checkImport(found, { one, file, declared, inTests, layer, workspace });
      if (reason) problems.push(`${folder}/${file}:${found.line}: "${found.specifier}" ${reason}`);
    }
  }
  return problems;
}

/** Dependencies on other packages are the layer, in its exact version. @param {Package} one @param {string[]} allowed @param {Map<string, Package>} workspace */
function checkDependencies({ folder, manifest }, allowed, workspace) {
  const dependencies = manifest.dependencies ?? {};
  const own = Object.keys(dependencies).filter((name) => workspace.has(name));
  return [
    ...own
      .filter((name) => !allowed.includes(name))
      .map((name) => `${folder}/package.json: depends on ${name}, which its layer may not import`),
    ...allowed
      .filter((name) => !own.includes(name))
      .map((name) => `${folder}/package.json: its layer imports ${name}, which dependencies lack`),
    ...own
      .filter((name) => dependencies[name] !== workspace.get(name)?.manifest.version)
      .map(
        (name) =>
          `${folder}/package.json: ${name} must be the exact version ${workspace.get(name)?.manifest.version}, is ${dependencies[name]}`,
      ),
  ];
}

/** TypeScript's project references are the layer too. @param {Package} one @param {string[]} allowed @param {Map<string, Package>} workspace */
function checkReferences({ root, folder }, allowed, workspace) {
  const file = path.join(root, folder, "tsconfig.json");
  if (!existsSync(file)) return [];
  const { references = [] } = JSON.parse(readFileSync(file, "utf8"));
  const actual = references
    .map((/** @type {{ path: string }} */ reference) => path.posix.join(folder, reference.path))
    .sort();
  const wanted = allowed.map((name) => workspace.get(name)?.folder ?? name).sort();
  if (actual.join() === wanted.join()) return [];
  return [
    `${folder}/tsconfig.json: references must be ${wanted.join(", ") || "empty"}, are ${actual.join(", ") || "empty"}`,
  ];
}

/**
 * Why an import is not allowed, or undefined.
 *
 * @param {import("./imports.mjs").Import} found
 * @param {{ one: Package, file: string, declared: Record<string, string>, inTests: boolean, layer: Layer, workspace: Map<string, Package> }} where
 */
function checkImport({ specifier, typeOnly }, { one, file, declared, inTests, layer, workspace }) {
  if (specifier.startsWith("node:")) return undefined;
  if (specifier.startsWith(".")) {
    const target = path.posix.join(path.posix.dirname(file), specifier);
    if (target.startsWith("..")) return "leaves the package; import the other package by name";
    return !inTests && /^(test|bench)\//.test(target) ? "is test code" : undefined;
  }
  if (specifier.endsWith(".node")) return undefined;
  const name = specifier
    .split("/")
    .slice(0, specifier.startsWith("@") ? 2 : 1)
    .join("/");
  if (builtinModules.includes(name)) return `is a module of Node.js; write node:${specifier}`;
  if (name === one.manifest.name) {
    return inTests
      ? unlessExported(one.manifest, specifier, name)
      : "is this package itself; use a relative path";
  }
  const target = workspace.get(name);
  // Platform packages are written into optionalDependencies when a release is made.
  if (!target && name.startsWith(`${one.manifest.name}-`)) return undefined;
  if (!(name in declared)) return "is not declared in package.json";
  if (!target) return undefined;
  if (!inTests && layer.typesOnly?.includes(name) && !typeOnly)
    return "may be imported for its types only (import type)";
  return unlessExported(target.manifest, specifier, name);
}

/** @param {Manifest} manifest @param {string} specifier @param {string} name */
function unlessExported(manifest, specifier, name) {
  const entry = `.${specifier.slice(name.length)}`;
  const entries = typeof manifest.exports === "object" ? Object.keys(manifest.exports) : ["."];
  return entries.includes(entry) ? undefined : `is no public entry of ${name} (${entries.join(", ")})`;
}

/** Source files of a package, relative to it. @param {string} folder */
function sources(folder) {
  return ["src", "bin", "test", "bench"].flatMap((part) => {
    const start = path.join(folder, part);
    if (!existsSync(start)) return [];
    return readdirSync(start, { recursive: true, encoding: "utf8" })
      .filter((file) => /\.[cm]?[jt]s$/.test(file))
      .map((file) => `${part}/${file.replaceAll("\\", "/")}`);
  });
}
