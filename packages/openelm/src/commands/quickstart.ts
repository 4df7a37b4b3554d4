import { Command, Option } from "commander";
import { interruptible } from "../cli/interrupt.js";
import { examples, integer, number } from "../cli/options.js";
import { Output } from "../cli/output.js";

interface QuickstartCommandOptions {
  readonly minutes: number;
  readonly text?: string;
  readonly seed: number;
  readonly steps?: number;
  readonly folder: string;
  readonly yes?: boolean;
  readonly json?: boolean;
}

/** `openelm quickstart`: a small model on real text in minutes. */
export function quickstartCommand(): Command {
  return new Command("quickstart")
    .summary("train a small model on real text in minutes")
    .description(
      "Trains a small OpenELM on the processor, from text to a model that writes, and makes a report.\nStopped, the same command goes on; finished, it says what is there.",
    )
    .option("--minutes <n>", "minutes of training", number({ least: 0.05 }), 4)
    .option("--text <file>", "a text of your own (default: WordNet)")
    .option("--seed <n>", "fixes initial weights and the order of the text", integer(), 0)
    .addOption(
      new Option(
        "--steps <n>",
        "so many updates instead of minutes, for the same result each time",
      ).argParser(integer(1)),
    )
    .option("--folder <folder>", "where everything goes", "runs/quickstart")
    .option("-y, --yes", "replace a run with other settings without asking")
    .option("--json", "stages, steps and results as JSON, an object a line")
    .addHelpText(
      "after",
      examples(
        "openelm quickstart",
        "openelm quickstart --minutes 10 --seed 2 --yes",
        "openelm quickstart --text notes.txt --folder runs/notes",
      ),
    )
    .action(run);
}

async function run({
  minutes,
  text,
  seed,
  steps,
  folder,
  yes = false,
  json,
}: QuickstartCommandOptions): Promise<void> {
  const { quickstart } = await import("../quickstart/quickstart.js");
  const output = new Output({ json });
  const settings = steps === undefined ? { text, minutes, seed } : { text, steps, seed };
  await interruptible(
    (signal) => quickstart({ settings, folder, yes, output, signal }),
    () => output.note("stopping; the same command goes on. Ctrl-C again stops at once"),
  );
}
