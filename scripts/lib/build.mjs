// Building through turbo, which skips what has not changed.
import { nvcc } from "./cuda.mjs";
import { mustRun, NATIVE, output, tool } from "./run.mjs";

/**
 * What the compiled core depends on beside its sources; part of turbo's key, so that another compiler or host
 * does not hit the cache of this one.
 */
export function buildKey() {
  const rustc = output("rustc", ["-vV"], { cwd: NATIVE }) ?? "";
  const field = (/** @type {string} */ name) => rustc.match(new RegExp(`^${name}: (.*)$`, "m"))?.[1];
  const archs = process.env.OPENELM_CUDA_ARCHS ?? "";
  return [field("host"), field("release"), field("commit-hash"), "release", nvcc() ?? "no nvcc", archs].join(
    " ",
  );
}

/**
 * Builds workspaces and what they depend on.
 *
 * @param {{ only?: string[], args?: string[] }} [options]
 */
export async function build({ only = [], args = [] } = {}) {
  const filters = only.map((name) => `--filter=${name}`);
  await mustRun(...tool("turbo", ["run", "build", "--output-logs=new-only", ...filters, ...args]), {
    env: { OPENELM_BUILD_KEY: buildKey() },
    toStderr: true,
  });
}

/**
 * Program and arguments of a cargo command in the workspace; the release profile everywhere, so that the build,
 * the tests and the tools share their artefacts.
 *
 * @param {string[]} args
 * @returns {[string, string[], { cwd: string }]}
 */
export const cargo = (args) => ["cargo", args, { cwd: NATIVE }];

/**
 * Runs the developer tool of the cargo workspace. The module lists must be writable while `elm-ops` does not
 * compile, so linking the op table is a feature.
 *
 * @param {string[]} args
 * @param {{ table?: boolean }} [options]
 */
export async function xtask(args, { table = false } = {}) {
  const features = table ? ["--features", "table"] : [];
  await mustRun(...cargo(["run", "--quiet", "--release", "-p", "xtask", ...features, "--", ...args]));
}

/** Writes everything that is derived from the op table. */
export async function codegen() {
  await xtask(["mods"]);
  await xtask(["codegen"], { table: true });
}
