// npm run bench -- NAME… [options]: measures ours beside its peers, or beside another revision.
import path from "node:path";
import { build } from "./lib/build.mjs";
import { withRevision } from "./lib/revision.mjs";
import { main, mustRun, ROOT, run, ScriptError } from "./lib/run.mjs";
import { setup } from "./lib/setup.mjs";

/** Kept between comparisons, so that only what differs is compiled again. */
const TARGET = path.join(ROOT, "benchmarks/.peers/target-of-revisions");

await main(async () => {
  const args = process.argv.slice(2);
  await setup();
  await build();
  const measure = async (/** @type {string[]} */ ...more) =>
    (await run(process.execPath, ["benchmarks/dist/main.js", ...args, ...more])).status;
  const at = args.findIndex((arg) => arg === "--compare" || arg.startsWith("--compare="));
  if (at < 0) return measure();

  const [, value] = args[at].split("=");
  const [revision] = args.splice(at, value === undefined ? 2 : 1).slice(-1);
  if (!value && revision === "--compare")
    throw new ScriptError("--compare takes a revision, as git names it");
  return withRevision(ROOT, value ?? revision, async (folder) => {
    process.stderr.write(`Building ${value ?? revision} …\n`);
    // The revision's own script installs and builds what it needs; it knows how.
    const env = { CARGO_TARGET_DIR: TARGET, TURBO_CACHE_DIR: path.join(ROOT, ".turbo/cache") };
    await mustRun(process.execPath, ["scripts/bench.mjs", "--list"], { cwd: folder, env, toStderr: true });
    return measure("--against", folder);
  });
});
