import { CudaDriver } from "@openelm/testing/cuda-driver";
import { expect, test } from "vitest";
import { openelm, temporary } from "./cli.js";

test("doctor --json names platform, core and devices", async () => {
  // GPUs, where there are some, are not asked for here.
  const { code, stdout } = await openelm(["doctor", "--json"], { env: { CUDA_VISIBLE_DEVICES: "" } });
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

test.runIf(process.platform === "linux")(
  "a GPU that cannot compute is a problem, and the rest is told",
  async ({ skip }) => {
    const driver = new CudaDriver();
    try {
      const { code, stdout } = await openelm(["doctor"], { env: driver.env() });
      skip(stdout.includes("this build has no CUDA kernels"));
      expect(code).toBe(1);
      expect(stdout).toMatch(/^core +0\./m);
      expect(stdout).toMatch(/^CUDA +driver of CUDA 13\.0: A driver for tests$/m);
      expect(stdout).toMatch(/^device cpu +2 threads/m);
      // It knows no kernel for products.
      expect(stdout).toMatch(/^problem device cuda: \[KERNEL_FAILED\] matmul: /m);
    } finally {
      driver.remove();
    }
  },
);

test("help needs no core", async () => {
  const { code } = await openelm(["train", "--help"], { env: { OPENELM_NATIVE_PATH: "/none.node" } });
  expect(code).toBe(0);
});
