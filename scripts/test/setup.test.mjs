import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { run } from "../lib/run.mjs";
import { installed } from "../lib/setup.mjs";
import { seconds } from "../lib/steps.mjs";
import { atLeast } from "../lib/tools.mjs";

let root;
beforeEach(() => {
  root = mkdtempSync(path.join(os.tmpdir(), "openelm-setup-"));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

function lock(wanted, actual) {
  mkdirSync(path.join(root, "node_modules"));
  writeFileSync(path.join(root, "package-lock.json"), JSON.stringify({ packages: { "": {}, ...wanted } }));
  writeFileSync(path.join(root, "node_modules/.package-lock.json"), JSON.stringify({ packages: actual }));
}
const one = { version: "1.0.0", integrity: "sha512-a" };

describe("the packages count as installed", () => {
  test("when npm installed what is locked", () => {
    lock({ "packages/x": { version: "0.1.0" }, "node_modules/a": one }, { "node_modules/a": one });
    expect(installed(root)).toBe(true);
  });

  test("also without the optional packages of other platforms", () => {
    lock({ "node_modules/a": one, "node_modules/b": { ...one, optional: true } }, { "node_modules/a": one });
    expect(installed(root)).toBe(true);
  });

  test.each([
    ["a package is missing", {}],
    ["a version differs", { "node_modules/a": { ...one, version: "1.0.1" } }],
    ["the content differs", { "node_modules/a": { ...one, integrity: "sha512-b" } }],
  ])("not when %s", (_, actual) => {
    lock({ "node_modules/a": one }, actual);
    expect(installed(root)).toBe(false);
  });

  test("not in a fresh clone", () => {
    expect(installed(root)).toBe(false);
  });
});

test("versions compare by numbers", () => {
  expect(atLeast("20.19.0", "20.19")).toBe(true);
  expect(atLeast("20.9.9", "20.19")).toBe(false);
  expect(atLeast("22.0.0", "20.19")).toBe(true);
  expect(atLeast("1.95.0", "1.95")).toBe(true);
});

test("times read well", () => {
  expect(seconds(1234)).toBe("1.2 s");
  expect(seconds(83_000)).toBe("1 min 23 s");
  expect(seconds(119_600)).toBe("2 min 0 s");
});

describe("running a program", () => {
  test("returns its status and what it printed", async () => {
    const code = "console.log('out'); process.exit(3)";
    expect(await run(process.execPath, ["-e", code], { capture: true })).toEqual({
      status: 3,
      stdout: "out\n",
    });
  });

  test("names one that does not exist", async () => {
    await expect(run("openelm-no-such-program", [])).rejects.toThrow(
      "openelm-no-such-program cannot be started",
    );
  });
});
