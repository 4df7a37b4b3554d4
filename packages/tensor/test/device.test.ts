import { settledTensors } from "@openelm/testing";
import { describe, expect, test } from "vitest";
import { device, ones, scope, take, tensor, zeros } from "../src/index.js";

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
});
