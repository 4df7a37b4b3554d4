import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { checkLayers } from "../check-layers.mjs";
import { dependenciesOf } from "../lib/layers/crates.mjs";
import { importsOf } from "../lib/layers/imports.mjs";
import { ROOT } from "../lib/run.mjs";

let root;
beforeEach(() => {
  root = mkdtempSync(path.join(os.tmpdir(), "openelm-layers-"));
  // A small repository that keeps the rules: two packages, two crates.
  write("package.json", JSON.stringify({ devDependencies: { vitest: "1.0.0" } }));
  write(
    "layers.json",
    JSON.stringify({
      packages: {
        "@openelm/native": {},
        "@openelm/tensor": { imports: ["@openelm/native"], typesOnly: [] },
        "@openelm/train": { imports: ["@openelm/tensor"], typesOnly: ["@openelm/tensor"] },
      },
      crates: { "elm-core": [], "elm-cpu": ["elm-core"], xtask: [] },
      cratesWithUnsafe: ["elm-cpu"],
      onlyIn: { napi: ["elm-napi"] },
    }),
  );
  addPackage("native", "@openelm/native", {});
  addPackage("tensor", "@openelm/tensor", { "@openelm/native": "0.1.0" });
  addPackage("train", "@openelm/train", { "@openelm/tensor": "0.1.0" });
  write("native/Cargo.toml", '[workspace.package]\nversion = "0.1.0"\n');
  addCrate("crates/elm-core", "[dependencies]\n", "#![forbid(unsafe_code)]\n");
  addCrate("crates/elm-cpu", "[dependencies]\nelm-core.workspace = true\n", "");
  addCrate("xtask", "[dependencies]\n", "#![forbid(unsafe_code)]\n");
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

function write(file, text) {
  mkdirSync(path.dirname(path.join(root, file)), { recursive: true });
  writeFileSync(path.join(root, file), text);
}

/** A third crate, that tests of elm-cpu may use. */
function allowInTests() {
  addCrate("crates/elm-ops", "[dependencies]\n", "#![forbid(unsafe_code)]\n");
  const layers = JSON.parse(readFileSync(path.join(root, "layers.json"), "utf8"));
  layers.crates["elm-ops"] = [];
  layers.devOnly = { "elm-cpu": ["elm-ops"] };
  write("layers.json", JSON.stringify(layers));
}

function addPackage(folder, name, dependencies, more = {}) {
  const exports = { ".": {}, "./errors": {} };
  write(
    `packages/${folder}/package.json`,
    JSON.stringify({ name, version: "0.1.0", dependencies, exports, ...more }),
  );
  const references = Object.keys(dependencies).map((to) => ({ path: `../${to.split("/").at(-1)}` }));
  write(`packages/${folder}/tsconfig.json`, JSON.stringify({ references }));
  write(`packages/${folder}/src/index.ts`, "export {};\n");
}

function addCrate(folder, manifest, source) {
  write(`native/${folder}/Cargo.toml`, manifest);
  write(`native/${folder}/src/lib.rs`, source);
}

test("a repository that keeps the rules has no violation", () => {
  expect(checkLayers(root)).toEqual([]);
});

test("this repository has no violation", () => {
  expect(checkLayers(ROOT)).toEqual([]);
});

describe("a planted violation is caught:", () => {
  const source = (text) => () => write("packages/tensor/src/planted.ts", text);
  test.each([
    [
      "an upward import",
      source('import { fit } from "@openelm/train";'),
      /planted\.ts:1: "@openelm\/train" is not declared/,
    ],
    ["an undeclared package", source('\nimport yaml from "yaml";'), /planted\.ts:2: "yaml" is not declared/],
    [
      "a deep import",
      source('export * from "@openelm/native/dist/load.js";'),
      /no public entry of @openelm\/native/,
    ],
    ["a path into another package", source('import "../../native/src/index.js";'), /leaves the package/],
    ["a dynamic import", source('const load = () => import("@openelm/train");'), /@openelm\/train/],
    ["a require", source("const { fit } = require('@openelm/train');"), /@openelm\/train/],
    ["a Node module without node:", source('import fs from "fs";'), /write node:fs/],
    ["test code in the sources", source('import "../test/helper.js";'), /is test code/],
    ["a test tool in the sources", source('import { test } from "vitest";'), /"vitest" is not declared/],
    [
      "a value where only types may come",
      () => write("packages/train/src/planted.ts", 'import { Tensor } from "@openelm/tensor";'),
      /for its types only/,
    ],
    [
      "a dependency outside the layer",
      () => addPackage("native", "@openelm/native", { "@openelm/tensor": "0.1.0" }),
      /packages\/native\/package\.json: depends on @openelm\/tensor/,
    ],
    [
      "a missing dependency",
      () => addPackage("tensor", "@openelm/tensor", {}),
      /its layer imports @openelm\/native/,
    ],
    [
      "a version range",
      () => addPackage("tensor", "@openelm/tensor", { "@openelm/native": "^0.1.0" }),
      /must be the exact version 0\.1\.0, is \^0\.1\.0/,
    ],
    [
      "a missing project reference",
      () => write("packages/tensor/tsconfig.json", "{}"),
      /references must be packages\/native, are empty/,
    ],
    [
      "a package without a layer",
      () => addPackage("nn", "@openelm/nn", {}),
      /@openelm\/nn is missing in layers\.json/,
    ],
    [
      "a crate outside its layer",
      () =>
        addCrate(
          "crates/elm-core",
          '[dependencies]\nelm-cpu = { path = "../elm-cpu" }\n',
          "#![forbid(unsafe_code)]\n",
        ),
      /elm-core\/Cargo\.toml: \[dependencies\] elm-cpu/,
    ],
    [
      "a crate for tests that the sources use",
      () => {
        allowInTests();
        addCrate("crates/elm-cpu", "[dependencies]\nelm-ops.workspace = true\n", "");
      },
      /elm-cpu\/Cargo\.toml: \[dependencies\] elm-ops/,
    ],
    [
      "an exception for tests that nothing needs",
      allowInTests,
      /elm-cpu does not need elm-ops under devOnly/,
    ],
    [
      "Node in a crate that must not know it",
      () => addCrate("crates/elm-cpu", "[dependencies]\nnapi.workspace = true\n", ""),
      /only elm-napi may depend on napi/,
    ],
    [
      "a crate that may hold unsafe code",
      () => addCrate("crates/elm-core", "", "//! Words.\n"),
      /forbid\(unsafe_code\)/,
    ],
    [
      "another version of the crates",
      () => write("native/Cargo.toml", 'version = "0.2.0"\n'),
      /version must be 0\.1\.0/,
    ],
  ])("%s", (_, plant, message) => {
    plant();
    expect(checkLayers(root)).toContainEqual(expect.stringMatching(message));
  });
});

test("a crate for tests is allowed where layers.json says so", () => {
  allowInTests();
  addCrate("crates/elm-cpu", "[dev-dependencies]\nelm-ops.workspace = true\n", "");
  expect(checkLayers(root)).toEqual([]);
});

describe("what is allowed:", () => {
  test.each([
    [
      "a type import under typesOnly",
      "packages/train/src/a.ts",
      'import type { Tensor } from "@openelm/tensor";',
    ],
    ["a public subpath", "packages/tensor/src/a.ts", 'import { x } from "@openelm/native/errors";'],
    [
      "a shared test tool in tests",
      "packages/tensor/test/a.test.ts",
      'import { test } from "vitest";\nimport "../src/index.js";',
    ],
    ["itself by name in tests", "packages/tensor/test/a.test.ts", 'import { add } from "@openelm/tensor";'],
    ["its own platform package", "packages/native/src/a.ts", 'require("@openelm/native-linux-x64-gnu");'],
  ])("%s", (_, file, text) => {
    write(file, text);
    expect(checkLayers(root)).toEqual([]);
  });
});

describe("imports are found", () => {
  const names = (source) => importsOf(source).map(({ specifier }) => specifier);

  test("in every form", () => {
    const source = [
      'import a, { type B } from "a";',
      "import * as b from 'b';",
      'import type {\n  C,\n} from "c";',
      'import "d";',
      'export * as e from "e";',
      'export { f } from "f";',
      'const g = await import("g");',
    ].join("\n");
    expect(names(source)).toEqual(["a", "b", "c", "d", "e", "f", "g"]);
    expect(
      importsOf(source)
        .filter(({ typeOnly }) => typeOnly)
        .map(({ specifier }) => specifier),
    ).toEqual(["c"]);
  });

  test("but not in comments, strings and templates", () => {
    const source = [
      '/** import { x } from "doc"; */',
      '// import "line";',
      "const text = \"import('string')\".length;",
      'const template = `\nimport "template";\n${call("}")} import "still";`;',
      "const quote = /[\"'`]/.test(s); // a quote in a pattern opens no string",
      'import "real";',
    ].join("\n");
    expect(names(source)).toEqual(["real"]);
  });

  test("with their lines", () => {
    expect(importsOf('/*\n\n*/\nimport "a";\nimport {\n b,\n} from "c";').map(({ line }) => line)).toEqual([
      4, 7,
    ]);
  });
});

test("dependencies of a crate are found in every form", () => {
  const manifest = [
    "[package]",
    'name = "x"',
    "[dependencies]",
    "a.workspace = true",
    'b = { version = "1", optional = true }',
    "[dependencies.c]",
    'version = "1"',
    "[target.'cfg(unix)'.dependencies]",
    'd = "1"',
    "[dev-dependencies]",
    'e = "1"',
    "[features]",
    'f = ["dep:a"]',
  ].join("\n");
  expect(dependenciesOf(manifest).map(({ dependency }) => dependency)).toEqual(["a", "b", "c", "d", "e"]);
});
