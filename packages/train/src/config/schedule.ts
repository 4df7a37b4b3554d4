import { createSchedule, type Schedule } from "../schedule.js";
import type { TrainConfig } from "./schema.js";

/** The learning rates of a configuration, for a run of `updates` updates. */
export function configSchedule({ optim, schedule }: TrainConfig, updates: number): Schedule {
  if (schedule.kind === "constant") return createSchedule({ ...schedule, lr: optim.lr });
  return createSchedule({ ...schedule, lr: optim.lr, updates: schedule.updates ?? updates });
}
