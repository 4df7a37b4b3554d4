//! The line of each stage, with the time that it took.
import pc from "picocolors";
import { duration } from "../cli/format.js";
import type { Output } from "../cli/output.js";
import { type ProgressView, showProgress } from "../cli/progress.js";

export class Stages {
  readonly #output: Output;
  #name = "";
  #since = 0;
  #view: ProgressView | undefined;

  constructor(output: Output) {
    this.#output = output;
  }

  begin(number: number, name: string): void {
    this.#name = `${number}. ${name.padEnd(10)}`;
    this.#since = performance.now();
  }

  /** Says that a stage has begun that will print lines of its own. */
  open(): void {
    this.#output.say(this.#name);
  }

  readonly onProgress = (
    _stage: string,
    { done, total, unit }: { done: number; total?: number; unit: string },
  ): void => {
    this.#view ??= showProgress(this.#output, this.#name, unit);
    this.#view.update({ done, total });
  };

  end(result: string): void {
    this.stop();
    const seconds = (performance.now() - this.#since) / 1000;
    this.#output.say(`${this.#name} ${result} ${pc.dim(duration(seconds))}`);
    this.#output.emit({ type: "stage", name: this.#name.slice(3).trim(), seconds });
  }

  /** Takes the bar away, also where a stage failed. */
  stop(): void {
    this.#view?.end();
    this.#view = undefined;
  }
}
