import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, expect, test } from "vitest";
import { toLine } from "../lib/measure.js";
import { circumstances, save } from "../lib/results.js";

const folder = mkdtempSync(path.join(tmpdir(), "bench-"));
afterEach(() => rmSync(folder, { recursive: true, force: true }));

test("a saved run says what was measured, where and with what", () => {
  const about = { ...circumstances(2), peers: ["torch 2"] };
  const measurement = { name: "copy", unit: "GB/s", faster: "larger", ours: 3, peers: { a: null } } as const;
  const line = toLine(measurement, "ops/copy", 2);
  const file = save(`${folder}/results/`, about, [line]);
  const saved = JSON.parse(readFileSync(file, "utf8"));
  expect(saved).toMatchObject({
    machine: { threads: 2, system: expect.stringContaining(process.platform) },
    versions: { node: process.versions.node },
    peers: ["torch 2"],
    measurements: [line],
  });
  expect(saved.commit).toMatch(/^[0-9a-f]{40}$/);
  expect(path.basename(file)).toContain(saved.commit.slice(0, 8));
});
