// Running other programs: output passed on as it comes, failures in one clear line.
import { spawn, spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { fileURLToPath } from "node:url";

/** Top of the repository. */
export const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../..");

/** The folder of the cargo workspace; rustup reads rust-toolchain.toml from the working directory. */
export const NATIVE = path.join(ROOT, "native");

/** A failure that the reader can act on; printed without a stack trace. */
export class ScriptError extends Error {}

/**
 * Runs a program and waits for it.
 *
 * `capture` keeps its standard output instead of passing it on, `tee` does both, `quiet` drops all output
 * unless the program fails, `toStderr` leaves our standard output to what the script is asked for.
 *
 * @param {string} program
 * @param {string[]} args
 * @param {{ cwd?: string, env?: NodeJS.ProcessEnv, capture?: boolean, tee?: boolean, quiet?: boolean, toStderr?: boolean }} [options]
 * @returns {Promise<{ status: number, stdout: string }>}
 */
export async function run(program, args, { cwd = ROOT, env = {}, capture, tee, quiet, toStderr } = {}) {
  const piped = capture || tee || quiet;
  const child = spawn(program, args, {
    cwd,
    env: { ...process.env, ...env },
    stdio: ["inherit", piped ? "pipe" : toStderr ? 2 : "inherit", quiet ? "pipe" : "inherit"],
  });
  /** @type {Buffer[]} */
  const stdout = [];
  /** @type {Buffer[]} */
  const both = [];
  child.stdout?.on("data", (chunk) => {
    stdout.push(chunk);
    both.push(chunk);
    if (tee) process.stdout.write(chunk);
  });
  child.stderr?.on("data", (chunk) => both.push(chunk));
  const status = await new Promise((resolve, reject) => {
    child.on("error", (error) => reject(new ScriptError(`${program} cannot be started: ${error.message}`)));
    child.on("close", (code, signal) => {
      if (signal) process.stderr.write(`${program} was ended by ${signal}\n`);
      resolve(code ?? 1);
    });
  });
  if (quiet && status !== 0) process.stderr.write(Buffer.concat(both));
  return { status, stdout: Buffer.concat(stdout).toString("utf8") };
}

/**
 * As `run`, and a status other than 0 is a `ScriptError`.
 *
 * @param {string} program
 * @param {string[]} args
 * @param {Parameters<typeof run>[2]} [options]
 */
export async function mustRun(program, args, options) {
  const result = await run(program, args, options);
  if (result.status !== 0) {
    throw new ScriptError(`${shown(program, args)} failed with exit code ${result.status}`);
  }
  return result;
}

/**
 * What a short program prints, or undefined where it is missing or fails.
 *
 * @param {string} program
 * @param {string[]} args
 * @param {{ cwd?: string, env?: NodeJS.ProcessEnv }} [options]
 */
export function output(program, args, { cwd = ROOT, env = {} } = {}) {
  const result = spawnSync(program, args, { cwd, env: { ...process.env, ...env }, encoding: "utf8" });
  return result.status === 0 ? result.stdout.trim() : undefined;
}

/**
 * Program and arguments that run npm: the one that started this script, else the one on the PATH.
 *
 * @param {string[]} args
 * @returns {[string, string[]]}
 */
export function npm(args) {
  const cli = process.env.npm_execpath;
  if (cli && /npm-cli\.[cm]?js$/.test(cli)) return [process.execPath, [cli, ...args]];
  return process.platform === "win32" ? ["cmd", ["/c", "npm", ...args]] : ["npm", args];
}

/**
 * Program and arguments that run a tool from node_modules, on every platform without a shell.
 *
 * @param {string} name - Package that holds the tool.
 * @param {string[]} args
 * @param {string} [command] - Name of the command where it is not the package's.
 * @returns {[string, string[]]}
 */
export function tool(name, args, command = name.split("/").at(-1)) {
  const manifest = path.join(ROOT, "node_modules", name, "package.json");
  const { bin } = createRequire(import.meta.url)(manifest);
  const file = typeof bin === "string" ? bin : bin[/** @type {string} */ (command)];
  return [process.execPath, [path.join(path.dirname(manifest), file), ...args]];
}

/** @param {string} file - Relative to the top of the repository. */
export function readJson(file) {
  return JSON.parse(readFileSync(path.join(ROOT, file), "utf8"));
}

/**
 * Runs the body of a script: a `ScriptError` ends it with its message, exit code 1.
 *
 * @param {() => Promise<number | void>} body - May return an exit code.
 */
export async function main(body) {
  try {
    process.exitCode = (await body()) ?? 0;
  } catch (error) {
    if (!(error instanceof ScriptError)) throw error;
    process.stderr.write(`\n${error.message}\n`);
    process.exitCode = 1;
  }
}

/** @param {string} program @param {string[]} args */
const shown = (program, args) =>
  [
    program === process.execPath ? "node" : program,
    ...args.map((arg) =>
      path.relative(ROOT, arg).startsWith("..") ? arg : arg.replace(`${ROOT}${path.sep}`, ""),
    ),
  ].join(" ");
