import { parseTrainConfig } from "@openelm/train";
import { expect, test } from "vitest";
import { smallConfig } from "../src/run/small-config.js";
import { timedSchedule } from "../src/run/timed-schedule.js";

const config = parseTrainConfig(smallConfig({ text: "x", bytes: 1e6, folder: "f", minutes: 2 }));
const { lr } = config.optim;
const { warmup } = config.schedule;
const step = (progress: number) => ({ type: "step", progress }) as never;

test("the warmup counts updates, and what follows goes by the clock down to a tenth", () => {
  const { schedule, follow } = timedSchedule(config);
  expect(schedule(0)).toBe(1e-6);
  expect(schedule(warmup)).toBe(lr);
  follow(step(0.5));
  expect(schedule(500)).toBeCloseTo(0.55 * lr, 5);
  // However many updates there were.
  expect(schedule(5000)).toBe(schedule(500));
  follow(step(1));
  expect(schedule(501)).toBeCloseTo(0.1 * lr, 6);
});

test("a run that goes on begins where it stood, and knows the rate of its last update", () => {
  const { schedule } = timedSchedule(config, { step: 300, elapsed: 60, lr: 0.00312 });
  expect(schedule(299)).toBe(0.00312);
  expect(schedule(300)).toBeCloseTo(0.55 * lr, 5);
});
