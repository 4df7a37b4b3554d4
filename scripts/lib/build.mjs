// Building through turbo, which skips what has not changed.
import { nvcc } from "./cuda.mjs";
import { mustRun, NATIVE, output, ScriptError, tool } from "./run.mjs";

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
 * Builds the program that holds kernels to their oracles, and returns where cargo put it.
 *
 * Cargo gives a shared crate the features that the selected packages ask for. Selected together with the addon, the
 * program gets the very crates that the addon and `cargo test` have; alone it would compile the whole core once more.
 */
export async function conformanceProgram() {
  const packages = ["-p", "elm-conformance", "-p", "elm-napi"];
  const [program, args, options] = cargo(["build", "--release", ...packages]);
  const format = "--message-format=json-render-diagnostics";
  const { stdout } = await mustRun(program, [...args, format], { ...options, capture: true });
  const executables = stdout
    .split("\n")
    .filter((line) => line.includes('"reason":"compiler-artifact"'))
    .map((line) => JSON.parse(line).executable);
  const found = executables.find((file) => /elm-conformance(\.exe)?$/.test(file ?? ""));
  if (!found) throw new ScriptError("cargo built no program elm-conformance");
  return found;
}

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
