import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { withRevision } from "../lib/revision.mjs";
import { mustRun, output } from "../lib/run.mjs";

const root = mkdtempSync(path.join(tmpdir(), "revision-"));
const git = (...args) =>
  mustRun("git", ["-c", "user.name=a", "-c", "user.email=a@b", ...args], { cwd: root, quiet: true });

beforeAll(async () => {
  await git("init");
  for (const text of ["old", "new"]) {
    writeFileSync(path.join(root, "file"), text);
    await git("add", ".");
    await git("commit", "-m", text);
  }
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

const worktrees = () => output("git", ["worktree", "list"], { cwd: root })?.split("\n");

test("a revision stands in a folder of its own while it is used", async () => {
  let folder = "";
  const text = await withRevision(root, "HEAD~1", async (where) => {
    folder = where;
    expect(worktrees()).toHaveLength(2);
    return readFileSync(path.join(where, "file"), "utf8");
  });
  expect(text).toBe("old");
  expect(readFileSync(path.join(root, "file"), "utf8")).toBe("new");
  expect(existsSync(folder)).toBe(false);
  expect(worktrees()).toHaveLength(1);
});

test("it goes too where its use fails", async () => {
  await expect(withRevision(root, "HEAD", () => Promise.reject(new Error("no")))).rejects.toThrow("no");
  expect(worktrees()).toHaveLength(1);
});

test("a revision that git does not know is named", async () => {
  await expect(withRevision(root, "nowhere", async () => 0)).rejects.toThrow("git knows no revision nowhere");
});
