//! What a person or a program sees of a run.
import type { StepEvent, TrainEvent } from "@openelm/train";
import pc from "picocolors";
import { bytes, count, whole } from "./format.js";
import type { Output } from "./output.js";
import { type ProgressView, showProgress } from "./progress.js";

/** Shows the events of one run. */
export class TrainingView {
  readonly #output: Output;
  readonly #progress: ProgressView;

  constructor(output: Output, title = "training") {
    this.#output = output;
    // A program reads the events themselves.
    this.#progress = output.json ? SILENT : showProgress(output, title, "steps");
  }

  /** Shows an event. */
  show(event: TrainEvent): void {
    this.#output.emit(event);
    if (event.type === "step") this.#step(event);
    else {
      const line = describeEvent(event);
      if (line !== undefined) this.print(line);
    }
  }

  /** A line that stays. */
  print(line: string): void {
    this.#progress.print(line);
  }

  /** Takes the bar away. */
  end(): void {
    this.#progress.end();
  }

  #step({ step, loss, lr, tokensPerSecond, eta, progress, memory, skipped }: StepEvent): void {
    const detail = [
      `step ${whole(step)}`,
      skipped ? pc.yellow("skipped, not finite") : `loss ${loss.toFixed(3)}`,
      tokensPerSecond > 0 ? `${whole(tokensPerSecond)} tokens/s` : "",
      `lr ${lr.toExponential(1)}`,
      bytes(memory.current),
    ];
    this.#progress.update({ done: progress ?? 0, total: 1, eta, detail: detail.filter(Boolean).join("  ") });
  }
}

const SILENT: ProgressView = { update: () => undefined, print: () => undefined, end: () => undefined };

function describeEvent(event: Exclude<TrainEvent, StepEvent>): string | undefined {
  switch (event.type) {
    case "eval": {
      const { step, loss, bitsPerByte, best } = event;
      const bits = bitsPerByte === undefined ? "" : `, ${bitsPerByte.toFixed(3)} bits per byte`;
      return `step ${whole(step)}: held-out loss ${loss.toFixed(3)}${bits}${best ? "" : pc.dim(" (was better before)")}`;
    }
    case "sample": {
      const answers = event.sample as readonly { readonly prompt: string; readonly text: string }[];
      return [
        `step ${whole(event.step)}:`,
        ...answers.map(({ prompt, text }) => `  ${pc.dim(prompt)}${oneLine(text)}`),
      ].join("\n");
    }
    case "checkpoint":
      return pc.dim(`step ${whole(event.step)}: saved ${event.folder}`);
    case "resume":
      return `goes on from step ${whole(event.step)}, ${event.folder}`;
    case "warning":
      return `${pc.yellow("warning")} ${event.message}`;
    case "eager":
      return pc.dim(`updates run call by call: ${event.reason}`);
    case "done":
      return `${whole(event.step)} steps, ${count(event.tokens)} tokens`;
  }
}

/** Text of a model on one line. */
export const oneLine = (text: string): string => text.replace(/\s*\n\s*/g, " ⏎ ").trimEnd();
