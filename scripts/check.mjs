// npm run check: everything about the sources that a machine can judge. All steps run, also after one that fails.
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import path from "node:path";
import { checkLayers } from "./check-layers.mjs";
import { cargo, codegen } from "./lib/build.mjs";
import { isCurrent, PAGE } from "./lib/performance.mjs";
import { main, mustRun, ROOT, run, tool } from "./lib/run.mjs";
import { setup } from "./lib/setup.mjs";
import { files, forbiddenText, isGenerated, longFiles } from "./lib/sources.mjs";
import { Steps } from "./lib/steps.mjs";

const HELP = `npm run check [-- --fix] [-- --only NAME]

  --fix         format and fix what the tools can, then check
  --only NAME   one step, by the first word of its name (may be repeated)`;

/** @type {Record<string, () => Promise<boolean | void> | boolean | void>} */
const STEPS = {
  "biome (format and lint)": () => succeeds(...tool("@biomejs/biome", ["check", "."])),
  rustfmt: () => succeeds(...cargo(["fmt", "--all", "--check"])),
  layers: () => report(checkLayers(ROOT)),
  "sizes of files": () => report(longFiles(ROOT, files(ROOT))),
  words: () => report(forbiddenText(ROOT, files(ROOT))),
  "codegen drift": drift,
  "performance page": () =>
    report(isCurrent(ROOT) ? [] : [`${PAGE} is not what npm run docs:performance writes from the results`]),
  "types of packages (tsc -b)": () => succeeds(...tool("typescript", ["-b"], "tsc")),
  "types of tests": () => succeeds(...tool("typescript", ["-p", "tsconfig.tests.json"], "tsc")),
  "types of scripts": () => succeeds(...tool("typescript", ["-p", "scripts/tsconfig.json"], "tsc")),
  clippy: () =>
    succeeds(
      ...cargo(["clippy", "--release", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"]),
    ),
};

await main(async () => {
  const args = process.argv.slice(2);
  const fix = args.includes("--fix");
  const only = args.filter((_, i) => args[i - 1] === "--only");
  const names = Object.keys(STEPS).filter((name) => only.length === 0 || only.includes(name.split(" ")[0]));
  if (args.includes("--help") || names.length === 0) {
    process.stdout.write(
      `${HELP}\n\nSteps: ${Object.keys(STEPS)
        .map((name) => name.split(" ")[0])
        .join(" ")}\n`,
    );
    return names.length === 0 ? 2 : 0;
  }
  await setup();
  if (fix) {
    await mustRun(...tool("@biomejs/biome", ["check", "--write", "."]));
    await mustRun(...cargo(["fmt", "--all"]));
  }
  const steps = new Steps();
  for (const name of names) await steps.run(name, STEPS[name]);
  process.stdout.write(`\n${steps.summary()}\n`);
  return steps.failed.length === 0 ? 0 : 1;
});

/** @param {Parameters<typeof run>} command */
async function succeeds(...command) {
  return (await run(...command)).status === 0;
}

/** @param {string[]} problems */
function report(problems) {
  for (const problem of problems) process.stdout.write(`${problem}\n`);
  return problems.length === 0;
}

/**
 * Runs codegen and compares what it writes with what was there. In a fresh clone this is what git holds; in a
 * working tree a change that has its generated files beside it passes before it is committed.
 */
async function drift() {
  const before = generated();
  await codegen();
  const after = generated();
  const changed = [...new Set([...before.keys(), ...after.keys()])].filter(
    (name) => before.get(name) !== after.get(name),
  );
  return report(changed.map((name) => `${name} was not what npm run codegen writes; it is now, commit it`));
}

/** Hashes of all generated files, by name. @returns {Map<string, string>} */
function generated() {
  const names = files(ROOT).filter(isGenerated);
  const hash = (/** @type {string} */ name) =>
    createHash("sha256")
      .update(readFileSync(path.join(ROOT, name)))
      .digest("hex");
  return new Map(names.map((name) => [name, hash(name)]));
}
