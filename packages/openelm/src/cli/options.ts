//! Values of options that are not plain text.
import { InvalidArgumentError } from "commander";

/** Parses a whole number of at least `least`. */
export const integer =
  (least = 0) =>
  (text: string): number => {
    const value = Number(text);
    if (text.trim() === "" || !Number.isSafeInteger(value) || value < least) {
      throw new InvalidArgumentError(`it must be a whole number of ${least} or more.`);
    }
    return value;
  };

/** Parses a number of at least `least` and at most `most`. */
export const number =
  ({ least = Number.NEGATIVE_INFINITY, most = Number.POSITIVE_INFINITY } = {}) =>
  (text: string): number => {
    const value = Number(text);
    if (text.trim() === "" || !Number.isFinite(value) || value < least || value > most) {
      const bounds = [
        Number.isFinite(least) ? ` at least ${least}` : "",
        Number.isFinite(most) ? ` at most ${most}` : "",
      ];
      throw new InvalidArgumentError(`it must be a number${bounds.filter(Boolean).join(" and")}.`);
    }
    return value;
  };

/** Collects an option that may be given several times. */
export const repeated = (text: string, earlier: readonly string[] = []): string[] => [...earlier, text];

/** Text for the end of a command's help. */
export const examples = (...lines: readonly string[]): string =>
  `\nExamples:\n${lines.map((line) => `  $ ${line}`).join("\n")}\n`;
