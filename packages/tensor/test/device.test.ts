import { settledTensors } from "@openelm/testing";
import { describe, expect, test, vi } from "vitest";
import {
  CaptureError,
  device,
  devices,
  ones,
  scope,
  take,
  tensor,
  uniform,
  withDefaults,
  zeros,
} from "../src/index.js";

const cpu = device("cpu");

/** A call that is enqueued, since much is before it, and fails when it runs. */
function failing(): ReturnType<typeof take> {
  const x = ones([256, 256]);
  for (let i = 0; i < 5; i++) x.matmul(x);
  return take(zeros([2]), tensor([7], { dtype: "i32" }));
}

describe("a device", () => {
  test("synchronize rejects once with the first error, and the next one is quiet", async () => {
    failing();
    await expect(cpu.synchronize()).rejects.toThrow("index 7");
    await cpu.synchronize();
  });

  test("ready waits for room and leaves errors to those who read", async () => {
    const bad = failing();
    await cpu.ready({ pending: 0 });
    expect(cpu.stats().pending).toBe(0);
    await expect(bad.data()).rejects.toThrow("index 7");
    await expect(cpu.synchronize()).rejects.toThrow("index 7");
  });

  test("ready waits for a queue that others go on filling", async () => {
    const x = ones([256, 256]);
    scope(() => {
      for (let i = 0; i < 50; i++) x.matmul(x);
    });
    await cpu.ready({ pending: 1 });
    expect(cpu.stats().pending).toBeLessThanOrEqual(1);
  });

  test("memory counts what lives", async () => {
    await settledTensors();
    await cpu.synchronize();
    const before = cpu.memory().current;
    const x = zeros([1000, 1000]);
    expect(cpu.memory().current - before).toBeGreaterThanOrEqual(4_000_000);
    x.dispose();
    expect(cpu.memory().current).toBe(before);
    await cpu.synchronize();
  });

  test("that has one way for each product has no table, and nothing to tune", async () => {
    expect(cpu.tuningTable()).toBeUndefined();
    const fn = vi.fn();
    await expect(cpu.tune(fn)).rejects.toThrow("nothing to tune on cpu");
    expect(fn).not.toHaveBeenCalled();
    await expect(device("meta").tune(fn)).rejects.toThrow("computes nothing");
    using captured = cpu.capture(() => void cpu.tune(fn).catch(fn), { warm: true });
    captured();
    await Promise.resolve();
    expect(fn).toHaveBeenCalledWith(expect.objectContaining({ code: "CAPTURE" }));
  });

  test.skipIf(devices().length === 1)(
    "that is a GPU keeps what it measured, and refuses to record meanwhile",
    async () => {
      const gpu = devices()[1]!;
      const x = withDefaults({ device: gpu }, () => uniform([256, 512]));
      let [inside, captured]: [unknown, unknown] = [undefined, undefined];
      const before = await x.matmul(x.transpose()).data();
      const { products, table } = await gpu.tune(async () => {
        inside = await x.matmul(x.transpose()).data();
        try {
          gpu.capture(() => x.mul(2), { warm: true })();
        } catch (error) {
          captured = error;
        }
      });
      expect(captured).toBeInstanceOf(CaptureError);
      expect(products).toMatchObject([{ size: [256, 256, 512], dtype: "f32", accumulate: false, calls: 1 }]);
      expect(products[0]!.best).toBeLessThanOrEqual(products[0]!.first! * 1.02);
      expect(gpu.tuningTable()).toEqual(table);
      expect(await x.matmul(x.transpose()).data()).toEqual(inside);
      expect(before).toHaveLength(256 * 256);
      const again = await gpu.tune(() => x.matmul(x.transpose()));
      expect(again.products).toMatchObject([{ measured: false, best: products[0]!.best }]);
      expect(again.table).toEqual(table);
    },
  );
});
