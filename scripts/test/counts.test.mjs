import { describe, expect, test } from "vitest";
import {
  cargoCounts,
  conformanceCounts,
  NONE,
  sentence,
  sum,
  vitestCounts,
  withStatus,
} from "../lib/counts.mjs";

const counts = (passed, failed, skipped = 0) => ({ passed, failed, skipped });

describe("cargo", () => {
  test("the lines of all binaries are summed", () => {
    const stdout = [
      "running 2 tests",
      "test a ... ok",
      "test result: ok. 2 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s",
      "   Doc-tests elm_core",
      "test result: FAILED. 3 passed; 4 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.20s",
    ].join("\n");
    expect(cargoCounts(stdout)).toEqual(counts(5, 4, 1));
  });

  test("a test's own output is not taken for a result", () => {
    expect(cargoCounts("see test result: ok. 9 passed; 0 failed; 0 ignored;")).toEqual(NONE);
  });
});

describe("conformance", () => {
  test("the last JSON line counts", () => {
    const stdout =
      '{"checked":1,"failed":1}\n10 checks over 2 ops, 3 failed\n{"ops":2,"checked":10,"failed":3}\n';
    expect(conformanceCounts(stdout)).toEqual(counts(7, 3));
  });
});

describe("vitest", () => {
  const report = (numbers, testResults = []) =>
    JSON.stringify({
      numPassedTests: 0,
      numFailedTests: 0,
      numPendingTests: 0,
      numTodoTests: 0,
      ...numbers,
      testResults,
    });

  test("passed, failed, skipped and todo", () => {
    const json = report({ numPassedTests: 5, numFailedTests: 1, numPendingTests: 2, numTodoTests: 1 });
    expect(vitestCounts(json)).toEqual(counts(5, 1, 3));
  });

  test("a file that fails to load is a failed test", () => {
    const files = [
      { status: "failed", assertionResults: [] },
      { status: "failed", assertionResults: [{ status: "failed" }] },
      { status: "passed", assertionResults: [{ status: "passed" }] },
    ];
    expect(vitestCounts(report({ numPassedTests: 1, numFailedTests: 1 }, files))).toEqual(counts(1, 2));
  });
});

describe("a runner's exit code", () => {
  test("a crash without a count is one failed test", () => {
    expect(withStatus(101, () => NONE)).toEqual(counts(0, 1));
    expect(withStatus(1, () => JSON.parse("{"))).toEqual(counts(0, 1));
  });

  test("a failure beside passed tests is one failed test", () => {
    expect(withStatus(1, () => counts(5, 0))).toEqual(counts(5, 1));
  });

  test("failures that were counted are not counted again", () => {
    expect(withStatus(1, () => counts(5, 2))).toEqual(counts(5, 2));
  });

  test("success without any test is a failure", () => {
    expect(withStatus(0, () => NONE)).toEqual(counts(0, 1));
  });
});

test("the last line names skipped tests only where there are some", () => {
  expect(sentence(sum([counts(1, 0), counts(2, 0)]))).toBe("3 passed, 0 failed");
  expect(sentence(counts(1, 2, 3))).toBe("1 passed, 2 failed, 3 skipped");
});
