//! Learning rates of a run whose end is a time and not a step.
import { configSchedule, type Schedule, type TrainConfig, type TrainEvent } from "@openelm/train";
import type { RunProgress } from "./progress.js";

/** Steps that the run is divided into for the schedule; how many it really makes shows at its end only. */
const NOMINAL = 10_000;

/** A schedule that follows the share of the run that is over. */
export interface TimedSchedule {
  readonly schedule: Schedule;
  /** Must hear every event. */
  readonly follow: (event: TrainEvent) => void;
}

/**
 * The schedule of a configuration over its `minutes`: the warmup counts updates, all after it goes by the clock.
 *
 * `before` is where a run stands that goes on; the rate of its last update is what it was.
 */
export function timedSchedule(config: TrainConfig, before?: RunProgress): TimedSchedule {
  const { warmup } = config.schedule;
  const nominal = configSchedule(config, warmup + NOMINAL);
  let share = before === undefined ? 0 : before.elapsed / (60 * config.minutes!);
  return {
    schedule(update) {
      if (before !== undefined && update === before.step - 1) return before.lr;
      return nominal(update < warmup ? update : warmup + Math.round(Math.min(share, 1) * NOMINAL));
    },
    follow(event) {
      if (event.type === "step" && event.progress !== undefined) share = event.progress;
    },
  };
}
