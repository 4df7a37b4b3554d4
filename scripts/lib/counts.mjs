// What the test runners say, as numbers that can be summed.

/** @typedef {{ passed: number, failed: number, skipped: number }} Counts */

/** @type {Counts} */
export const NONE = Object.freeze({ passed: 0, failed: 0, skipped: 0 });

/**
 * Sums the `test result:` lines of `cargo test`; there is one for each test binary and each crate's examples in docs.
 *
 * @param {string} stdout
 * @returns {Counts}
 */
export function cargoCounts(stdout) {
  const lines = stdout.matchAll(/^test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored;/gm);
  return sum(
    [...lines].map(([, passed, failed, skipped]) => counts(Number(passed), Number(failed), Number(skipped))),
  );
}

/**
 * The last line of the conformance binary that is a JSON object.
 *
 * @param {string} stdout
 * @returns {Counts}
 */
export function conformanceCounts(stdout) {
  const line = stdout.split("\n").findLast((text) => text.startsWith("{"));
  if (!line) return NONE;
  const { checked, failed } = JSON.parse(line);
  return counts(checked - failed, failed, 0);
}

/**
 * The report of vitest's JSON reporter. A file that fails before its first test counts as one failed test.
 *
 * @param {string} json
 * @returns {Counts}
 */
export function vitestCounts(json) {
  const report = JSON.parse(json);
  const broken = report.testResults.filter(
    (/** @type {{ status: string, assertionResults: { status: string }[] }} */ file) =>
      file.status === "failed" && !file.assertionResults.some(({ status }) => status === "failed"),
  ).length;
  const skipped = report.numPendingTests + (report.numTodoTests ?? 0);
  return counts(report.numPassedTests, report.numFailedTests + broken, skipped);
}

/**
 * The counts of a runner that ended with `status`. One that failed without naming a failed test (it crashed, did
 * not compile, met an unhandled error) counts as one failed test; so does one that says it passed and counted
 * nothing.
 *
 * @param {number} status
 * @param {() => Counts} read
 * @returns {Counts}
 */
export function withStatus(status, read) {
  let result = NONE;
  try {
    result = read();
  } catch {
    // No report, or half of one: the status decides below, and without any test it is a failure.
  }
  const silent = result.passed + result.failed + result.skipped === 0;
  return result.failed === 0 && (status !== 0 || silent) ? { ...result, failed: 1 } : result;
}

/** @param {Counts[]} all @returns {Counts} */
export const sum = (all) =>
  all.reduce((a, b) => counts(a.passed + b.passed, a.failed + b.failed, a.skipped + b.skipped), NONE);

/** @param {Counts} counts */
export const sentence = ({ passed, failed, skipped }) =>
  `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`;

/** @param {number} passed @param {number} failed @param {number} skipped @returns {Counts} */
const counts = (passed, failed, skipped) => ({ passed, failed, skipped });
