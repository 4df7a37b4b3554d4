//! What a run writes down while it goes: `metrics.jsonl`, `speed.jsonl`, `tensorboard/`.
import { join } from "node:path";
import { JsonlLog } from "../metrics/jsonl.js";
import { TensorBoardWriter } from "../metrics/tensorboard.js";
import type { EvalEvent, StepEvent } from "./events.js";

/**
 * The logs of a run.
 *
 * `metrics.jsonl` holds only what the computation determines, so that a run that was interrupted and resumed leaves the
 * same file as one that was not. `speed.jsonl` holds what the clock says.
 */
export class Journal {
  readonly #metrics: JsonlLog;
  readonly #speed: JsonlLog;
  readonly #board: TensorBoardWriter | undefined;

  private constructor(metrics: JsonlLog, speed: JsonlLog, board: TensorBoardWriter | undefined) {
    this.#metrics = metrics;
    this.#speed = speed;
    this.#board = board;
  }

  /** Opens the logs for a run that has done `step` steps; what they say of later ones goes. */
  static async open(
    folder: string,
    step: number,
    { tensorboard }: { readonly tensorboard: boolean },
  ): Promise<Journal> {
    return new Journal(
      await JsonlLog.open(join(folder, "metrics.jsonl"), step),
      await JsonlLog.open(join(folder, "speed.jsonl"), step),
      tensorboard ? await TensorBoardWriter.create(join(folder, "tensorboard"), step + 1) : undefined,
    );
  }

  async step(event: StepEvent): Promise<void> {
    const { step, loss, ce, z, lr, gradNorm, skipped, tokens, tokensPerSecond, elapsed, memory } = event;
    await this.#metrics.write({
      type: "step",
      step,
      loss,
      ce,
      z,
      lr,
      gradNorm,
      tokens,
      ...(skipped ? { skipped } : {}),
    });
    await this.#speed.write({
      step,
      elapsed: rounded(elapsed),
      tokensPerSecond: rounded(tokensPerSecond),
      memory: memory.peak,
    });
    await this.#board?.scalars(step, {
      "train/loss": loss,
      "train/ce": ce,
      "train/z": z,
      "train/lr": lr,
      "train/grad_norm": gradNorm,
      "speed/tokens_per_second": tokensPerSecond,
      "speed/flops_per_second": event.flopsPerSecond,
      "speed/memory_bytes": memory.current,
    });
  }

  async eval({ step, loss, bitsPerByte }: EvalEvent): Promise<void> {
    await this.#metrics.write({
      type: "eval",
      step,
      loss,
      ...(bitsPerByte === undefined ? {} : { bitsPerByte }),
    });
    await this.#board?.scalars(step, { "eval/loss": loss, "eval/bits_per_byte": bitsPerByte });
  }

  /** Brings all lines onto the disk, before a checkpoint says that these steps are done. */
  sync(): Promise<void> {
    return this.#metrics.sync();
  }

  async close(): Promise<void> {
    await this.#metrics.close();
    await this.#speed.close();
    await this.#board?.close();
  }
}

const rounded = (x: number): number => Math.round(x * 1000) / 1000;
