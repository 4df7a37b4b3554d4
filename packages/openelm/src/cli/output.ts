//! What the command says: text for a person, or a JSON object a line for a program.
import type { Writable } from "node:stream";

/** Whether a person watches the stream, who can be shown a bar that moves. */
export function isInteractive(stream: Writable & { readonly isTTY?: boolean }): boolean {
  const { CI, TERM } = process.env;
  return stream.isTTY === true && TERM !== "dumb" && (CI === undefined || CI === "" || CI === "false");
}

/** A line that is drawn again and again, and must go while another is written. */
export interface LiveLine {
  hide(): void;
  show(): void;
}

/** Results go to the standard output, what tells of progress to the standard error. */
export class Output {
  readonly json: boolean;
  /** Whether bars are drawn. */
  readonly interactive: boolean;
  /** What is drawn at the moment. */
  live: LiveLine | undefined;

  constructor({ json = false }: { readonly json?: boolean | undefined } = {}) {
    this.json = json;
    this.interactive = !json && isInteractive(process.stderr);
  }

  /** A line of the result, for a person. */
  say(text = ""): void {
    this.#print(process.stdout, `${text}\n`);
  }

  /** Text of the result without a line's end, for a person. */
  write(text: string): void {
    if (!this.json) process.stdout.write(text);
  }

  /** A line about the work itself, for a person. */
  note(text: string): void {
    this.#print(process.stderr, `${text}\n`);
  }

  #print(stream: Writable, text: string): void {
    if (this.json) return;
    this.live?.hide();
    stream.write(text);
    this.live?.show();
  }

  /** A JSON line, for a program. */
  emit(value: object): void {
    if (this.json) process.stdout.write(`${JSON.stringify(value)}\n`);
  }
}
