import { expect, test } from "vitest";
import { openelm, temporary } from "./cli.js";

test("doctor --json names platform, core and devices", async () => {
  const { code, stdout } = await openelm(["doctor", "--json"]);
  expect(code).toBe(0);
  const report = JSON.parse(stdout) as Record<string, unknown>;
  expect(report).toMatchObject({
    node: process.version,
    platform: expect.stringContaining(process.arch),
    problems: [],
    core: {
      version: expect.any(String),
      tableHash: expect.any(Number),
      simd: expect.stringMatching(/^(avx2|avx512|neon|portable)$/),
    },
  });
  expect(report.devices).toEqual([{ name: "cpu", threads: 2, memoryLimit: expect.any(Number) }]);
});

test("without a core it says where it looked, and ends with code 1", async () => {
  const missing = `${temporary()}/none.node`;
  const { code, stdout } = await openelm(["doctor"], { env: { OPENELM_NATIVE_PATH: missing } });
  expect(code).toBe(1);
  expect(stdout).toContain(`OPENELM_NATIVE_PATH (${missing})`);
});

test("help needs no core", async () => {
  const { code } = await openelm(["train", "--help"], { env: { OPENELM_NATIVE_PATH: "/none.node" } });
  expect(code).toBe(0);
});
