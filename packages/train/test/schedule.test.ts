import { describe, expect, test } from "vitest";
import { cosineSchedule, createSchedule, linearSchedule, wsdSchedule } from "../src/schedule.js";

/** Update and rate, printed by Python from the formula of the published code. */
const PYTHON: [number, number][] = [
  [0, 1e-6],
  [1, 1.24e-6],
  [2, 1.48e-6],
  [1234, 0.00029691],
  [4999, 0.00119976],
  [5000, 0.0012],
  [5001, 0.0012],
  [20000, 0.00119497],
  [77777, 0.0010857],
  [177500, 0.00066],
  [250001, 0.00032883],
  [333333, 0.00012621],
  [349999, 0.00012],
  [350000, 0.00012],
];

describe("the cosine of the published runs", () => {
  test.each([5.3e-3, 3.9e-3, 2.4e-3, 1.2e-3])(
    "lr %d starts at 1e-6, peaks at update 5000, ends at a tenth",
    (lr) => {
      const schedule = cosineSchedule({ lr, updates: 350_000, warmup: 5000 });
      expect(schedule(0)).toBe(1e-6);
      expect(schedule(5000)).toBe(lr);
      expect(schedule(350_000)).toBe(Number((0.1 * lr).toFixed(8)));
      expect(schedule(350_001)).toBe(Number((0.1 * lr).toFixed(8)));
    },
  );

  test("is about 1e-13 above the lowest rate at its last update, before rounding", () => {
    const exact = cosineSchedule({ lr: 1.2e-3, updates: 350_000, warmup: 5000, decimals: 20 });
    const above = exact(350_000) - 1.2e-4;
    expect(above).toBeGreaterThan(1e-15);
    expect(above).toBeLessThan(1e-12);
  });

  test("has the values of the formula in Python, rounded as Python rounds", () => {
    const schedule = cosineSchedule({ lr: 1.2e-3, updates: 350_000, warmup: 5000 });
    for (const [update, lr] of PYTHON) expect(schedule(update), `update ${update}`).toBe(lr);
  });

  test("takes ties to the even digit", () => {
    // 1/512 = 0.001953125 lies halfway between two numbers of eight decimals
    expect(cosineSchedule({ lr: 1 / 512, minLr: 1 / 512, updates: 10 })(3)).toBe(0.00195312);
    expect(cosineSchedule({ lr: 3 / 512, minLr: 3 / 512, updates: 10 })(3)).toBe(0.00585938);
  });

  test("falls all the way down", () => {
    const schedule = cosineSchedule({ lr: 1e-3, updates: 300, warmup: 20 });
    for (let update = 21; update <= 300; update++)
      expect(schedule(update)).toBeLessThan(schedule(update - 1));
  });
});

test("linear is halfway at half the way", () => {
  const schedule = linearSchedule({ lr: 1, minLr: 0, warmup: 10, warmupLr: 0, updates: 110 });
  expect([0, 5, 10, 60, 110, 200].map(schedule)).toEqual([0, 0.5, 1, 0.5, 0, 0]);
});

test("wsd stays up until its decay", () => {
  const line = wsdSchedule({ lr: 1, minLr: 0, warmup: 10, warmupLr: 0, updates: 100, decay: 20 });
  expect([5, 10, 80, 90, 100, 101].map(line)).toEqual([0.5, 1, 1, 0.5, 0, 0]);
  const root = wsdSchedule({ lr: 1, minLr: 0, updates: 100, decay: 16, shape: "sqrt" });
  expect(root(88)).toBe(0.5);
});

test("constant is constant", () => {
  const schedule = createSchedule({ kind: "constant", lr: 3e-4, warmup: 2, warmupLr: 0 });
  expect([0, 1, 2, 1e6].map(schedule)).toEqual([0, 1.5e-4, 3e-4, 3e-4]);
});

test.each([
  [{ kind: "cosine", lr: -1, updates: 10 }, "lr must be a number of 0 or more, got -1"],
  [{ kind: "cosine", lr: Number.NaN, updates: 10 }, "lr must be"],
  [{ kind: "linear", lr: 1, updates: 1.5 }, "updates must be a whole number"],
  [{ kind: "linear", lr: 1, updates: 5, warmup: 6 }, "warmup 6 is longer than the 5 updates"],
  [{ kind: "wsd", lr: 1, updates: 10, warmup: 6, decay: 5 }, "do not fit into 10 updates"],
] as const)("refuses %o", (options, message) => {
  expect(() => createSchedule(options)).toThrow(message);
});
