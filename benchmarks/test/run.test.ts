import { device } from "@openelm/tensor";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { pairText } from "../lib/against.js";
import { jobsOf, readLines } from "../lib/run.js";

describe("jobsOf", () => {
  const bench = async function* () {};
  const all = device("cpu").stats().threads;
  beforeEach(() => void vi.stubEnv("OPENELM_THREADS", undefined));
  afterEach(() => void vi.unstubAllEnvs());

  test("a benchmark runs with all threads, and with one where it asks for both", () => {
    expect(jobsOf("a", { bench })).toEqual([{ name: "a", threads: all }]);
    expect(jobsOf("a", { bench, threads: "one and all" }).map(({ threads }) => threads)).toEqual([
      ...new Set([1, all]),
    ]);
  });

  test("what the user says goes before what it asks", () => {
    const threads = (asked?: string) =>
      jobsOf("a", { bench, threads: "one and all" }, asked).map((job) => job.threads);
    expect(threads("4,2,4")).toEqual([4, 2]);
    vi.stubEnv("OPENELM_THREADS", String(all));
    expect(threads()).toEqual([all]);
    expect(() => threads("two")).toThrow("--threads takes whole numbers");
  });
});

test("lines of a program come one by one, with its exit code", async () => {
  const lines: string[] = [];
  const program = "console.log(process.env.NOTE); console.log(2); process.exitCode = 3";
  expect(await readLines(["-e", program], { NOTE: "one" }, (line) => lines.push(line))).toBe(3);
  expect(lines).toEqual(["one", "2"]);
});

describe("pairText", () => {
  test("shows medians of both, and how much faster the new one is", () => {
    const times = { unit: "µs", faster: "smaller", old: [4, 40, 3], new: [2, 2, 1] } as const;
    expect(pairText("add", 1, { ...times, old: [...times.old], new: [...times.new] })).toMatch(
      /^add +1t {2}old 4 µs {2}new 2 µs {2}2\.00× as fast$/,
    );
    expect(pairText("copy", 2, { unit: "GB/s", faster: "larger", old: [10], new: [15] })).toContain(
      "1.50× as fast",
    );
  });

  test("a measurement that one revision lacks is missing there", () => {
    expect(pairText("new", 2, { unit: "GB/s", faster: "larger", old: [], new: [15] })).toMatch(
      /old missing {2}new 15 GB\/s$/,
    );
  });
});
