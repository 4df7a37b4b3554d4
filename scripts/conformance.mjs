// npm run conformance [-- --op NAME --json --verbose]: holds every kernel to the oracle of its op, and every gradient
// to finite differences and to its reference.
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { build, conformanceProgram } from "./lib/build.mjs";
import { main, run, tool } from "./lib/run.mjs";
import { setup } from "./lib/setup.mjs";

const GRADIENTS = "packages/autograd/test/gradients.test.ts";

/** @typedef {{ ops: number, checked: number, failed: number }} Counts */

await main(async () => {
  const args = process.argv.slice(2);
  const json = args.includes("--json");
  await setup();
  const kernels = await run(await conformanceProgram(), args, json ? { capture: true } : {});
  // Help and wrong options end here, with what the program said.
  if (args.includes("--help") || args.includes("-h") || kernels.status === 2) {
    process.stdout.write(kernels.stdout);
    return kernels.status;
  }
  await build({ only: ["@openelm/native"] });
  const names = args.filter((_, i) => args[i - 1] === "--op");
  const { counts, status } = await gradients(names, json);
  if (json) {
    const lines = kernels.stdout.trimEnd().split("\n");
    const report = JSON.parse(
      lines.findLast((line) => line.startsWith("{")) ?? '{"ops":0,"checked":0,"failed":1}',
    );
    process.stdout.write(`${JSON.stringify({ ...report, gradients: counts })}\n`);
  }
  return kernels.status || status;
});

/**
 * @param {string[]} names - Ops to check; none means all.
 * @param {boolean} toStderr
 * @returns {Promise<{ counts: Counts, status: number }>}
 */
async function gradients(names, toStderr) {
  const folder = mkdtempSync(path.join(os.tmpdir(), "openelm-gradients-"));
  try {
    const report = path.join(folder, "report.json");
    const env = { OPENELM_GRADIENTS_REPORT: report, OPENELM_GRADIENTS_OPS: names.join(",") };
    const { status } = await run(...tool("vitest", ["run", "--project", "autograd", GRADIENTS]), {
      env,
      toStderr,
    });
    /** @type {Counts} */
    const counts = existsSync(report)
      ? JSON.parse(readFileSync(report, "utf8"))
      : { ops: 0, checked: 0, failed: 0 };
    // A failure outside of the samples, such as an op without any, counts as one.
    if (status !== 0 && counts.failed === 0) counts.failed = 1;
    return { counts, status };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
