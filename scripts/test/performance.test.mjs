import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { isCurrent, PAGE, pageOf, performancePage } from "../lib/performance.mjs";

const line = (benchmark, ours, peers, more = {}) => {
  const known = Object.values(peers).filter((value) => value !== null);
  const ratio = known.length === 0 ? null : ours / Math.max(...known);
  const shape = { name: benchmark, threads: 2, unit: "GB/s", faster: "larger", limit: null };
  return { benchmark, ...shape, ours, peers, ratio, ...more };
};
const machine = {
  cpu: "CPU X",
  features: ["avx2"],
  cores: 2,
  threads: 2,
  memoryGB: 24,
  system: "linux x64 6",
  load: 0.2,
};
const run = (date, measurements, more = {}) => ({
  date,
  commit: "0123456789abcdef",
  changed: false,
  machine,
  versions: { node: "20.1.0" },
  peers: ["torch 2"],
  measurements,
  ...more,
});

describe("the page", () => {
  test("has a table for each group, with the best peer marked and the share of the limit", () => {
    const page = pageOf([
      run("2026-01-02T00:00:00Z", [
        line("ops/a", 30, { torch: 20, numpy: 10 }, { limit: 40 }),
        line("ops/b", 3, { torch: null }),
        line("call", 2, { torch: 4 }, { unit: "µs", faster: "smaller", limit: 1, ratio: 2 }),
      ]),
    ]);
    expect(page).toContain("| measurement | threads | unit | ours | torch | numpy | × best | of limit |");
    expect(page).toContain("| ops/a | 2 | GB/s | 30 | **20** | 10 | 1.50 | 75 % |");
    expect(page).toContain("| ops/b | 2 | GB/s | 3 | – | – | – | – |");
    expect(page).toContain("| call | 2 | µs | 2 | **4** | 2.00 | 50 % |");
    expect(page).toContain(
      "2026-01-02, 01234567, CPU X (avx2), 2 cores, 24 GB, linux x64 6, load 0.2, Node 20.1.0.",
    );
    expect(page.match(/^## .*$/gm)).toEqual(["## call", "## ops", "## Missing"]);
    expect(page).toMatch(/- torch: ops\/b\n$/);
  });

  test("takes each benchmark from the newest run that has it", () => {
    const page = pageOf([
      run("2026-02-01T00:00:00Z", [line("ops/a", 7, { torch: 1 })], { changed: true }),
      run("2026-01-01T00:00:00Z", [line("ops/a", 5, {}), line("ops/b", 6, {})]),
    ]);
    expect(page).toContain("| ops/a | 2 | GB/s | 7 |");
    expect(page).not.toContain("| ops/a | 2 | GB/s | 5 |");
    expect(page).toContain("| ops/b | 2 | GB/s | 6 |");
    expect(page).toContain("01234567 with changes");
    expect(page).not.toContain("## Missing");
  });
});

describe("drift", () => {
  const root = mkdtempSync(path.join(tmpdir(), "performance-"));
  afterAll(() => rmSync(root, { recursive: true, force: true }));
  const write = (name, text) => {
    mkdirSync(path.dirname(path.join(root, name)), { recursive: true });
    writeFileSync(path.join(root, name), text);
  };

  test("there is no page without results, and then that of the results", () => {
    expect(performancePage(root)).toBeUndefined();
    expect(isCurrent(root)).toBe(true);
    write("benchmarks/results/1.json", JSON.stringify(run("2026-01-01T00:00:00Z", [line("a", 1, {})])));
    expect(isCurrent(root)).toBe(false);
    write(PAGE, performancePage(root));
    expect(isCurrent(root)).toBe(true);
    write(PAGE, "edited");
    expect(isCurrent(root)).toBe(false);
  });
});
