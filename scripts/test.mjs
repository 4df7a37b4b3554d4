// npm test: every test of the repository, then one line `N passed, N failed` that sums all runners.
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { build, cargo, conformanceProgram } from "./lib/build.mjs";
import {
  cargoCounts,
  conformanceCounts,
  NONE,
  sentence,
  sum,
  vitestCounts,
  withStatus,
} from "./lib/counts.mjs";
import { main, npm, ROOT, readJson, run, tool } from "./lib/run.mjs";
import { setup } from "./lib/setup.mjs";
import { Steps } from "./lib/steps.mjs";

/** @typedef {import("./lib/counts.mjs").Counts} Counts */

const HELP = `npm test [-- --only NAME]

  --only rust|conformance|packages|examples   one runner (may be repeated)`;

/** @type {Record<string, [title: string, () => Promise<Counts>]>} */
const RUNNERS = {
  rust: ["cargo test", rust],
  conformance: ["conformance of kernels", conformance],
  packages: ["vitest", packages],
  examples: ["examples", examples],
};

await main(async () => {
  const args = process.argv.slice(2);
  const only = args.filter((_, i) => args[i - 1] === "--only");
  const wrong = [
    ...args.filter((arg, i) => arg !== "--only" && args[i - 1] !== "--only"),
    ...only.filter((name) => !RUNNERS[name]),
  ];
  if (wrong.length > 0) {
    process.stdout.write(`${HELP}\n`);
    return wrong.includes("--help") ? 0 : 2;
  }
  const steps = new Steps();
  /** @type {Counts[]} */
  const all = [];
  const ready = await steps.run("setup and build", async () => {
    await setup();
    await build();
  });
  // Tests against a core that was not built would only repeat that one failure.
  if (!ready) all.push({ ...NONE, failed: 1 });
  for (const [name, [title, body]] of ready ? Object.entries(RUNNERS) : []) {
    if (only.length > 0 && !only.includes(name)) continue;
    let result = { ...NONE, failed: 1 };
    await steps.run(title, async () => {
      result = await body();
      process.stdout.write(`${sentence(result)}\n`);
      return result.failed === 0;
    });
    all.push(result);
  }
  const total = sum(all);
  process.stdout.write(`\n${steps.summary()}\n\n${sentence(total)}\n`);
  return total.failed === 0 ? 0 : 1;
});

async function rust() {
  const [program, args, options] = cargo(["test", "--release", "--workspace", "--no-fail-fast"]);
  const { status, stdout } = await run(program, args, { ...options, tee: true });
  return withStatus(status, () => cargoCounts(stdout));
}

/** Once for each SIMD level of this machine, lowest first. */
async function conformance() {
  const program = await conformanceProgram();
  const listed = await run(program, ["--levels"], { capture: true });
  const levels = listed.stdout.split("\n").filter(Boolean);
  if (listed.status !== 0 || levels.length === 0) return { ...NONE, failed: 1 };
  /** @type {Counts[]} */
  const all = [];
  for (const level of levels) {
    const env = { OPENELM_CPU: level };
    const { status, stdout } = await run(program, ["--json"], { env, capture: true });
    const result = withStatus(status, () => conformanceCounts(stdout));
    process.stdout.write(`${level}: ${sentence(result)}\n`);
    all.push(result);
  }
  return sum(all);
}

async function packages() {
  const folder = mkdtempSync(path.join(os.tmpdir(), "openelm-test-"));
  try {
    const report = path.join(folder, "vitest.json");
    const reporters = ["--reporter=default", "--reporter=json", `--outputFile.json=${report}`];
    const { status } = await run(...tool("vitest", ["run", ...reporters]));
    return withStatus(status, () => vitestCounts(readFileSync(report, "utf8")));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Runs `npm test` of each example as its reader would; an example is one test. */
async function examples() {
  const folder = path.join(ROOT, "examples");
  const names = existsSync(folder) ? readdirSync(folder).sort() : [];
  /** @type {Counts[]} */
  const all = [];
  for (const name of names.filter((entry) => existsSync(path.join(folder, entry, "package.json")))) {
    if (!readJson(`examples/${name}/package.json`).scripts?.test) {
      process.stdout.write(`examples/${name} has no test script\n`);
      all.push({ ...NONE, failed: 1 });
      continue;
    }
    const { status } = await run(...npm(["test", "--silent"]), { cwd: path.join(folder, name) });
    process.stdout.write(`${status === 0 ? "ok    " : "FAILED"}  examples/${name}\n`);
    all.push(status === 0 ? { ...NONE, passed: 1 } : { ...NONE, failed: 1 });
  }
  return sum(all);
}
