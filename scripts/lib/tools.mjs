// The programs that a build needs: which are there, and what cures a missing one.
import { existsSync } from "node:fs";
import os from "node:os";
import { NATIVE, output, readJson } from "./run.mjs";

/** The oldest compiler that builds the core; rust-toolchain.toml pins the one that CI uses. */
export const MIN_RUST = "1.95";

/** @typedef {{ name: string, found?: string, problem?: string }} Tool */

/** @returns {Tool} */
export function node() {
  const wanted = readJson("package.json").engines.node.replace(">=", "");
  const found = process.versions.node;
  if (atLeast(found, wanted)) return { name: "Node.js", found };
  return {
    name: "Node.js",
    problem: `Node.js ${wanted} or newer is needed, this is ${found}.
  Cure: install a current release from https://nodejs.org or with your version manager.`,
  };
}

/**
 * The Rust toolchain as it answers inside native/.
 *
 * Where rustup does not have the pinned version but its default is new enough, the default is used (nothing is
 * downloaded): `RUSTUP_TOOLCHAIN` is set for this process and its children.
 *
 * @returns {Tool}
 */
export function rust() {
  const name = "Rust";
  process.env.RUSTUP_AUTO_INSTALL = "0";
  const pinned = version("rustc", NATIVE);
  if (pinned && version("cargo", NATIVE)) {
    return atLeast(pinned, MIN_RUST) ? { name, found: pinned } : { name, problem: tooOld(pinned) };
  }
  const active = output("rustup", ["show", "active-toolchain"], { cwd: os.tmpdir() })?.split(" ")[0];
  const fallback = active && version("rustc", os.tmpdir());
  if (active && fallback && atLeast(fallback, MIN_RUST)) {
    process.env.RUSTUP_TOOLCHAIN = active;
    return { name, found: `${fallback} (${active})` };
  }
  if (output("rustup", ["--version"])) {
    return {
      name,
      problem: fallback ? tooOld(fallback) : `rustup has no toolchain that fits.\n${install()}`,
    };
  }
  return {
    name,
    problem: `A Rust toolchain (rustc and cargo, ${MIN_RUST} or newer) is needed and none is on the PATH.
  Cure: install rustup from https://rustup.rs, then open a new terminal.`,
  };
}

/** @param {string} found */
const tooOld = (found) => `Rust ${MIN_RUST} or newer is needed, this is ${found}.\n${install()}`;
const install = () => "  Cure: rustup toolchain install 1.95.0 --profile minimal --component rustfmt,clippy";

/** @param {string} program @param {string} cwd */
const version = (program, cwd) => output(program, ["--version"], { cwd })?.match(/\d+\.\d+\.\d+/)?.[0];

/** Cargo links with it and some crates hold C. @returns {Tool} */
export function cCompiler() {
  const name = "C compiler";
  if (process.platform === "win32") return visualStudio(name);
  const candidates = [process.env.CC, "cc", "gcc", "clang"].filter((program) => program !== undefined);
  for (const program of candidates) {
    const found = output(program, ["--version"])?.split("\n")[0];
    if (found) return { name, found };
  }
  const cure =
    process.platform === "darwin"
      ? "xcode-select --install"
      : existsSync("/etc/debian_version")
        ? "sudo apt-get install build-essential"
        : existsSync("/etc/redhat-release")
          ? "sudo dnf install gcc"
          : "install gcc or clang with your package manager";
  return { name, problem: `A C compiler (cc) is needed and none is on the PATH.\n  Cure: ${cure}` };
}

/** @param {string} name @returns {Tool} */
function visualStudio(name) {
  const base = process.env["ProgramFiles(x86)"] ?? "C:\\Program Files (x86)";
  const part = "Microsoft.VisualStudio.Component.VC.Tools.x86.x64";
  const args = ["-latest", "-products", "*", "-requires", part, "-property", "displayName"];
  const found =
    output(`${base}\\Microsoft Visual Studio\\Installer\\vswhere.exe`, args) || output("where", ["cl"]);
  if (found) return { name, found };
  return {
    name,
    problem: `The Visual Studio C++ build tools are needed and were not found.
  Cure: winget install Microsoft.VisualStudio.2022.BuildTools, with the workload "Desktop development with C++".`,
  };
}

/**
 * Whether a dotted version is `least` or newer.
 *
 * @param {string} found
 * @param {string} least
 */
export function atLeast(found, least) {
  const [a, b] = [found, least].map((text) => text.split(".").map(Number));
  for (let i = 0; i < b.length; i++) {
    const difference = (a[i] ?? 0) - b[i];
    if (difference !== 0) return difference > 0;
  }
  return true;
}
