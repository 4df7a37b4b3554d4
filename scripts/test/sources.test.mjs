import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { forbiddenText, isGenerated, longFiles } from "../lib/sources.mjs";

let root;
beforeEach(() => {
  root = mkdtempSync(path.join(os.tmpdir(), "openelm-sources-"));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const write = (name, text) => {
  writeFileSync(path.join(root, name), text);
  return [name];
};

describe("length", () => {
  test("501 lines are one too many", () => {
    expect(longFiles(root, write("a.ts", "x\n".repeat(500)), {})).toEqual([]);
    expect(longFiles(root, write("a.ts", "x\n".repeat(501)), {})).toEqual([
      expect.stringMatching(/^a\.ts: 501 lines/),
    ]);
  });

  test("an exception with a reason passes, and is refused when it is needed no more", () => {
    const longer = { "a.ts": "one table" };
    expect(longFiles(root, write("a.ts", "x\n".repeat(501)), longer)).toEqual([]);
    expect(longFiles(root, write("a.ts", "x\n"), longer)).toEqual([
      expect.stringMatching(/a\.ts is short enough/),
    ]);
  });

  test("prose and generated files have no bound", () => {
    expect(longFiles(root, write("a.md", "x\n".repeat(600)), {})).toEqual([]);
    expect(isGenerated("packages/tensor/src/generated/ops.ts")).toBe(true);
    expect(isGenerated("native/crates/elm-cpu/src/ops/generated.rs")).toBe(true);
    expect(isGenerated("packages/tensor/src/tensor.ts")).toBe(false);
  });
});

describe("words", () => {
  test.each([
    ["a.md", "see /home/somebody/openelm", /a\.md:1: "\/home\/somebody" is a path of one machine/],
    ["a.md", "one\nsee ../shared/design.md", /a\.md:2: "\.\.\/shared" leaves the repository/],
    ["a.rs", "fn f() { todo!() }", /is a panic that waits/],
    ["a.ts", 'throw new Error("not implemented");', /is a stub/],
    ["a.ts", "// TODO: later", /belongs into an issue/],
    ["a.ts", "a\n<<<<<<< HEAD\nb", /a\.ts:2: "<<<<<<<" is left from a merge/],
    ["package-lock.json", '"resolved": "https://registry.example/x.tgz"', /ties the lock file/],
  ])("%s with %j", (name, text, message) => {
    expect(forbiddenText(root, write(name, text))).toEqual([expect.stringMatching(message)]);
  });

  test("ordinary text passes", () => {
    const text = "https://openelm.example/home/page, src/work/file.ts, a.b/root/x\n=======\n".replace(
      "=======\n",
      "",
    );
    expect(forbiddenText(root, write("a.md", text))).toEqual([]);
  });
});
