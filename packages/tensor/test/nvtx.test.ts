import { nvtxRange, ones } from "@openelm/tensor";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { core } from "../src/core.js";
import { Installed } from "./installed.js";

let installed: Installed;
beforeAll(async () => {
  installed = await Installed.create();
});
afterAll(() => installed?.remove());

test("a range that nobody asked for does not reach the core", () => {
  const begin = vi.spyOn(core, "rangeBegin");
  expect(nvtxRange("sum", () => ones([3]).sum().itemSync())).toBe(3);
  expect(begin).not.toHaveBeenCalled();
});

test("ranges without a profiler change nothing, in calls, errors and recordings", async () => {
  const file = `
    import { device, nvtxRange, ones } from "@openelm/tensor";
    const x = ones([8]);
    if (nvtxRange("outer", () => nvtxRange("sum", () => x.sum())).itemSync() !== 8) throw new Error("wrong");
    try {
      nvtxRange("fails", () => x.reshape([3]));
      throw new Error("passed");
    } catch (error) {
      if (error.code !== "SHAPE_MISMATCH" && error.code !== "INVALID_ARGUMENT") throw error;
    }
    const step = device("cpu").capture((x) => nvtxRange("step", () => x.mul(2)));
    for (let i = 0; i < 4; i++) if (nvtxRange("run", () => step(x)).sum().itemSync() !== 16) throw new Error("wrong");
    console.log("ok");
  `;
  const { code, output } = await installed.run(file, { env: { OPENELM_NVTX: "1" } });
  expect({ code, output }).toEqual({ code: 0, output: "ok\n" });
});
