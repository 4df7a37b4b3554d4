import { expect, test } from "vitest";
import { outlook, reachedLimit } from "../src/loop/limits.js";

const at = (step: number, tokens: number, elapsed: number) => ({ step, tokens, elapsed });

test("the first limit ends the run", () => {
  const limits = { steps: 10, tokens: 1000, minutes: 1 };
  expect(reachedLimit(limits, at(9, 999, 59.9))).toBeUndefined();
  expect(reachedLimit(limits, at(10, 0, 0))).toBe("steps");
  expect(reachedLimit(limits, at(0, 1000, 0))).toBe("tokens");
  expect(reachedLimit(limits, at(0, 0, 60))).toBe("minutes");
});

test("the end is expected where the first limit will be reached", () => {
  const rate = { steps: 2, tokens: 100 };
  expect(outlook({ steps: 10, tokens: 2000 }, at(5, 500, 0), rate)).toEqual({ progress: 0.5, eta: 2.5 });
  expect(outlook({ minutes: 1 }, at(5, 500, 45), { steps: 0, tokens: 0 })).toEqual({
    progress: 0.75,
    eta: 15,
  });
  expect(outlook({ steps: 10 }, at(5, 0, 0), { steps: 0, tokens: 0 })).toEqual({
    progress: 0.5,
    eta: undefined,
  });
});
