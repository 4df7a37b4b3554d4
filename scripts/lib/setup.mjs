// What every entry script does first: look for the tools, install the packages if they are not as locked.
import { existsSync, readFileSync } from "node:fs";
import path from "node:path";
import { mustRun, npm, ROOT, ScriptError } from "./run.mjs";
import { seconds } from "./steps.mjs";
import { cCompiler, node, rust } from "./tools.mjs";

// The build tool must not call home from anybody's machine.
process.env.TURBO_TELEMETRY_DISABLED = "1";

/**
 * Makes a fresh clone ready to build; does nothing where all is there.
 *
 * @param {{ print?: boolean }} [options] - `print` lists what was found.
 */
export async function setup({ print = false } = {}) {
  const tools = [node(), rust(), cCompiler()];
  const problems = tools.flatMap(({ problem }) => problem ?? []);
  if (problems.length > 0) throw new ScriptError(problems.join("\n\n"));
  if (print) for (const { name, found } of tools) process.stderr.write(`${name.padEnd(12)} ${found}\n`);

  if (installed(ROOT)) {
    if (print) process.stderr.write(`${"Packages".padEnd(12)} as locked\n`);
    return;
  }
  process.stderr.write("Installing packages (npm ci) …\n");
  const since = Date.now();
  await mustRun(...npm(["ci", "--no-audit", "--no-fund"]), { quiet: true });
  process.stderr.write(`Installed packages in ${seconds(Date.now() - since)}\n`);
}

/**
 * Whether node_modules holds what package-lock.json says. npm writes what it installed into a hidden lock file;
 * optional packages may be missing, because most are for other platforms.
 *
 * @param {string} root
 */
export function installed(root) {
  const hidden = path.join(root, "node_modules/.package-lock.json");
  if (!existsSync(hidden)) return false;
  const actual = JSON.parse(readFileSync(hidden, "utf8")).packages;
  const wanted = JSON.parse(readFileSync(path.join(root, "package-lock.json"), "utf8")).packages;
  return Object.entries(wanted).every(([place, entry]) => {
    if (!place.includes("node_modules/")) return true;
    const there = actual[place];
    if (!there) return entry.optional === true || entry.peer === true;
    return (
      there.version === entry.version && there.link === entry.link && there.integrity === entry.integrity
    );
  });
}
