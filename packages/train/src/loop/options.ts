import { UsageError } from "@openelm/native";
import type { CrossEntropyLossOptions } from "@openelm/nn";
import type { Generator } from "@openelm/tensor";
import type { ModelFiles } from "../checkpoint/model-files.js";
import type { Optimizer } from "../optim/optimizer.js";
import type { Schedule } from "../schedule.js";
import type { Batch, LanguageModel, Loader } from "./contracts.js";
import type { TrainEvent } from "./events.js";
import type { Precision } from "./update.js";
import type { CaptureMode } from "./updates.js";

/** When something is done, in steps. */
export interface Every {
  /** Each so many steps. Default: only where `at` says. */
  readonly every?: number | undefined;
  /** At these steps; 0 is before the first. */
  readonly at?: readonly number[] | undefined;
}

/** Evaluation on held-out data. */
export interface EvaluationOptions extends Every {
  /** The batches, the same each time. */
  readonly batches: () => AsyncIterable<Batch> | Iterable<Batch>;
  /** UTF-8 bytes of held-out text that a counted token stands for; gives bits per byte. */
  readonly bytesPerToken?: number | undefined;
}

/** Something of the model that a person wants to see, such as text it writes. */
export interface SampleOptions extends Every {
  readonly run: (step: number) => unknown;
}

/** Checkpoints in `folder/checkpoints`. */
export interface CheckpointOptions {
  /** Steps between two. Default: only at the end, and when the run is stopped. */
  readonly every?: number | undefined;
  /** How many of the last stay. Default 2. */
  readonly keepLast?: number | undefined;
  /** How many of those with the lowest held-out loss stay as well. Default 0. */
  readonly keepBest?: number | undefined;
  /** Writes the average of so many of the last to `folder/average` at the end. Default 0: none. */
  readonly average?: number | undefined;
  /** How the model is written. Default: `model.safetensors` by parameter paths. */
  readonly files?: ModelFiles | undefined;
  /** Programs to note in `state.json`. */
  readonly versions?: Readonly<Record<string, string>> | undefined;
}

/** What a {@link Trainer} is made of. */
export interface TrainerOptions {
  readonly model: LanguageModel;
  readonly optimizer: Optimizer;
  readonly loader: Loader;
  /** Learning rates. Default: that of the optimizer, throughout. */
  readonly schedule?: Schedule | undefined;
  /** The run ends after so many updates, */
  readonly steps?: number | undefined;
  /** or so many counted tokens, */
  readonly tokens?: number | undefined;
  /** or so many minutes of training, whichever is first. */
  readonly minutes?: number | undefined;
  /** Batches of the loader for one update. Default 1. */
  readonly accumulate?: number | undefined;
  /** Default `"f32"`. */
  readonly precision?: Precision | undefined;
  /**
   * Whether updates are recorded and replayed as one command (`device.capture`), with the same results: `"auto"` on a CPU
   * where they are small enough to gain by it, model and optimizer say that they can be (`replayable`), and nothing stands
   * in the way; `true` throws a CaptureError that names what does. Default `"auto"`.
   */
  readonly capture?: CaptureMode | undefined;
  /** z-loss, label smoothing, the ignored target. */
  readonly loss?: CrossEntropyLossOptions | undefined;
  /** Norm that gradients are clipped to. Default 1; `Infinity` for none. */
  readonly clip?: number | undefined;
  /** Updates in a row whose loss or gradients are not finite before the run gives up. Default 10. */
  readonly maxSkips?: number | undefined;
  /** Floating-point operations of a token, forward and backward; gives those per second. */
  readonly flopsPerToken?: number | undefined;
  /** Where logs and checkpoints go. Without it there are none. */
  readonly folder?: string | undefined;
  /** Whether a run in `folder` is continued (default), or must not be there. */
  readonly resume?: boolean | undefined;
  readonly evaluation?: EvaluationOptions | undefined;
  readonly sample?: SampleOptions | undefined;
  readonly checkpoint?: CheckpointOptions | undefined;
  /** Whether event files are written to `folder/tensorboard`. Default `true`. */
  readonly tensorboard?: boolean | undefined;
  /** Generators whose state belongs to the run, by name. */
  readonly generators?: Readonly<Record<string, Generator>> | undefined;
  /** Hears every event before whoever iterates. */
  readonly onEvent?: ((event: TrainEvent) => void | Promise<void>) | undefined;
}

/** @throws UsageError naming the option that cannot be. */
export function checkTrainerOptions(options: TrainerOptions): void {
  const { steps, tokens, minutes, accumulate, maxSkips, checkpoint, evaluation, sample } = options;
  if (options.model.parameters().length === 0) throw new UsageError("Trainer: the model has no parameters");
  if (steps === undefined && tokens === undefined && minutes === undefined) {
    throw new UsageError("Trainer: say when to stop: steps, tokens or minutes");
  }
  const whole = {
    steps,
    tokens,
    accumulate,
    maxSkips,
    "checkpoint.every": checkpoint?.every,
    "checkpoint.keepLast": checkpoint?.keepLast,
    "evaluation.every": evaluation?.every,
    "sample.every": sample?.every,
  };
  for (const [name, value] of Object.entries(whole)) {
    if (value !== undefined && !(Number.isInteger(value) && value >= 1)) {
      throw new UsageError(`Trainer: ${name} must be a whole number of 1 or more, got ${value}`);
    }
  }
  if (minutes !== undefined && !(minutes > 0))
    throw new UsageError(`Trainer: minutes must be above 0, got ${minutes}`);
  if (options.clip !== undefined && !(options.clip > 0))
    throw new UsageError(`Trainer: clip must be above 0, got ${options.clip}`);
  if (options.precision !== undefined && !["f32", "bf16"].includes(options.precision)) {
    throw new UsageError(`Trainer: precision must be f32 or bf16, got ${options.precision}`);
  }
  if (options.capture !== undefined && !["auto", true, false].includes(options.capture)) {
    throw new UsageError(`Trainer: capture must be "auto", true or false, got ${options.capture}`);
  }
}

/** Whether something is due after `step`. */
export const isDue = ({ every, at }: Every, step: number): boolean =>
  (every !== undefined && step > 0 && step % every === 0) || (at?.includes(step) ?? false);
