//! Lines that a person or a program writes, one after another.
import { createInterface, type Interface } from "node:readline";

/** A line, or why there is none: the input ended, or Ctrl-C was pressed before the line was finished. */
export type Input = { readonly line: string } | { readonly end: "end" | "interrupt" };

/**
 * Reads lines from the standard input. On a terminal they can be edited, and the arrow keys bring back earlier ones.
 *
 * Ctrl-C goes to who is listening: an answer that is being made, or the reader itself.
 */
export class Lines {
  readonly interactive = process.stdin.isTTY === true && process.stdout.isTTY === true;
  readonly #interface: Interface;
  readonly #waiting: string[] = [];
  #wake: ((value: Input) => void) | undefined;
  #onInterrupt: (() => void) | undefined;
  #ended = false;

  constructor() {
    this.#interface = createInterface({
      input: process.stdin,
      ...(this.interactive && { output: process.stdout, historySize: 500, removeHistoryDuplicates: true }),
      terminal: this.interactive,
    });
    this.#interface.on("line", (line) => {
      if (this.#wake === undefined) this.#waiting.push(line);
      else this.#settle({ line });
    });
    this.#interface.on("close", () => {
      this.#ended = true;
      this.#settle({ end: "end" });
    });
    // On a terminal the interface takes Ctrl-C; without one the process gets a signal.
    this.#interface.on("SIGINT", this.#interrupt);
    process.on("SIGINT", this.#interrupt);
  }

  /** What comes next. */
  async next(prompt: string): Promise<Input> {
    const line = this.#waiting.shift();
    if (line !== undefined) return { line };
    if (this.#ended) return { end: "end" };
    if (this.interactive) {
      this.#interface.setPrompt(prompt);
      this.#interface.prompt();
    }
    const input = new Promise<Input>((resolve) => {
      this.#wake = resolve;
    });
    return this.during(
      () => input,
      () => {
        // What was typed so far is given up.
        if (this.interactive) this.#interface.write(null, { ctrl: true, name: "u" });
        this.#settle({ end: "interrupt" });
      },
    );
  }

  /** Runs `body`, and calls `onInterrupt` at Ctrl-C meanwhile. */
  async during<T>(body: () => Promise<T>, onInterrupt: () => void): Promise<T> {
    this.#onInterrupt = onInterrupt;
    try {
      return await body();
    } finally {
      this.#onInterrupt = undefined;
    }
  }

  readonly #interrupt = (): void => {
    this.#onInterrupt?.();
  };

  #settle(input: Input): void {
    const wake = this.#wake;
    this.#wake = undefined;
    wake?.(input);
  }

  close(): void {
    process.off("SIGINT", this.#interrupt);
    this.#interface.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
