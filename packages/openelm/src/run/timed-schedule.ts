//! Learning rates of a run whose end is a time and not a step.
import { configSchedule, type Schedule, type TrainConfig, type TrainEvent } from "@openelm/train";

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
 * `progress` is where a run stands that goes on.
 */
export function timedSchedule(config: TrainConfig, progress = 0): TimedSchedule {
  const { warmup } = config.schedule;
  const nominal = configSchedule(config, warmup + NOMINAL);
  let share = progress;
  return {
    schedule: (update) => nominal(update < warmup ? update : warmup + Math.round(share * NOMINAL)),
    follow(event) {
      if (event.type === "step" && event.progress !== undefined) share = event.progress;
    },
  };
}
