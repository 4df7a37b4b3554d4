// Builds the core and puts it beside package.json as `openelm.<platform>.node`, with `build-info.json`.
//
// Cargo builds, this script names the result. `napi build` would do the same and also write a loader and types;
// this package has its own, so the plain way has fewer parts. The napi tool is used for releases only.
import { spawn, spawnSync } from "node:child_process";
import { copyFileSync, existsSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { hashSources } from "./sources.mjs";

const PACKAGE = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "..");
const ROOT = path.resolve(PACKAGE, "../..");
const PROFILE = "release";

/** Suffix of the file and of the platform package, as napi names them. */
const PLATFORMS = {
  "x86_64-unknown-linux-gnu": "linux-x64-gnu",
  "aarch64-unknown-linux-gnu": "linux-arm64-gnu",
  "aarch64-apple-darwin": "darwin-arm64",
  "x86_64-apple-darwin": "darwin-x64",
  "x86_64-pc-windows-msvc": "win32-x64-msvc",
  "aarch64-pc-windows-msvc": "win32-arm64-msvc",
};

try {
  await main();
} catch (error) {
  process.stderr.write(`@openelm/native: ${error instanceof Error ? error.message : error}\n`);
  process.exitCode = 1;
}

async function main() {
  const rustc = compiler();
  const triple = process.env.CARGO_BUILD_TARGET || rustc.host;
  const platform = PLATFORMS[/** @type {keyof typeof PLATFORMS} */ (triple)];
  if (!platform) {
    throw new Error(`no platform name for ${triple}; known are ${Object.keys(PLATFORMS).join(", ")}`);
  }
  const sources = hashSources(ROOT);
  const library = await cargoBuild();

  const target = path.join(PACKAGE, `openelm.${platform}.node`);
  const temporary = path.join(PACKAGE, `openelm.${platform}.${process.pid}.tmp.node`);
  try {
    copyFileSync(library, temporary);
    const tableHash = triple === rustc.host ? load(temporary) : null;
    const info = { rustc: rustc.release, triple, profile: PROFILE, sources, tableHash };
    replace(temporary, target);
    writeAtomically(path.join(PACKAGE, "build-info.json"), `${JSON.stringify(info, null, 2)}\n`);
  } finally {
    rmSync(temporary, { force: true });
  }
  process.stdout.write(`${path.relative(ROOT, target)}\n`);
}

/** Release and host of the compiler that cargo will use. */
function compiler() {
  const result = spawnSync("rustc", ["-vV"], { cwd: path.join(ROOT, "native"), encoding: "utf8" });
  const field = (/** @type {string} */ name) => result.stdout?.match(new RegExp(`^${name}: (.*)$`, "m"))?.[1];
  const [release, host] = [field("release"), field("host")];
  if (!release || !host) throw new Error("rustc is missing; run npm run setup, which says what to install");
  return { release, host };
}

/** Builds the library and returns where cargo put it. */
async function cargoBuild() {
  const args = [
    "build",
    `--profile=${PROFILE}`,
    "--locked",
    "-p",
    "elm-napi",
    "--message-format=json-render-diagnostics",
  ];
  // rustup takes the toolchain from the working directory.
  const child = spawn("cargo", args, {
    cwd: path.join(ROOT, "native"),
    stdio: ["ignore", "pipe", "inherit"],
  });
  let stdout = "";
  child.stdout.setEncoding("utf8").on("data", (chunk) => {
    stdout += chunk;
  });
  const status = await new Promise((resolve, reject) => child.on("error", reject).on("close", resolve));
  if (status !== 0) throw new Error(`cargo build failed with exit code ${status}; its messages stand above`);
  for (const line of stdout.split("\n").filter((text) => text.startsWith("{"))) {
    const message = JSON.parse(line);
    if (message.reason !== "compiler-artifact" || !/^elm[-_]napi$/.test(message.target.name)) continue;
    const library = message.filenames.find((/** @type {string} */ file) => /\.(so|dylib|dll)$/.test(file));
    if (library) return library;
  }
  throw new Error("cargo built no library for elm-napi; its crate-type must be cdylib");
}

/**
 * Loads the binary once in a process of its own, so that a broken one never takes the place of a working one.
 * Returns the hash of its op table where it tells.
 *
 * @param {string} file
 * @returns {number | null}
 */
function load(file) {
  const code = `const core = require(${JSON.stringify(file)});
    console.log(JSON.stringify(core.tableHash));
    process.exit(0);`;
  const result = spawnSync(process.execPath, ["--eval", code], { encoding: "utf8" });
  if (result.status === 0) return JSON.parse(result.stdout.trim().split("\n").at(-1) ?? "null");
  const reason = result.stderr.match(/^\w*Error: .*$/m)?.[0] ?? result.stderr;
  throw new Error(`the new binary does not load, the old one stays: ${reason}`);
}

/** @param {string} from @param {string} to */
function replace(from, to) {
  try {
    renameSync(from, to);
  } catch (error) {
    if (process.platform !== "win32" || !existsSync(to)) throw error;
    throw new Error(`${to} is in use; end the programs that have it loaded, then build again`, {
      cause: error,
    });
  }
}

/** @param {string} file @param {string} text */
function writeAtomically(file, text) {
  if (existsSync(file) && readFileSync(file, "utf8") === text) return;
  writeFileSync(`${file}.tmp`, text);
  renameSync(`${file}.tmp`, file);
}
