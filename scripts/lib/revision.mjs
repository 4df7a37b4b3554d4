// Another revision of the repository, in a folder of its own.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { mustRun, output, ScriptError } from "./run.mjs";

/**
 * Checks out a revision into a temporary worktree, gives it to `use`, and removes it, also where that fails.
 *
 * @template T
 * @param {string} root - The repository.
 * @param {string} revision - As git names it.
 * @param {(folder: string) => Promise<T>} use
 * @returns {Promise<T>}
 */
export async function withRevision(root, revision, use) {
  const commit = output("git", ["rev-parse", "--verify", "--quiet", `${revision}^{commit}`], { cwd: root });
  if (commit === undefined) throw new ScriptError(`git knows no revision ${revision}`);
  const top = mkdtempSync(path.join(tmpdir(), "openelm-revision-"));
  const folder = path.join(top, commit.slice(0, 12));
  const git = (/** @type {string[]} */ ...args) =>
    mustRun("git", ["worktree", ...args], { cwd: root, quiet: true });
  try {
    await git("add", "--detach", folder, commit);
    return await use(folder);
  } finally {
    rmSync(top, { recursive: true, force: true });
    await git("prune");
  }
}
