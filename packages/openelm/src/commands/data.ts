import { Command } from "commander";
import { bytes, count, table, whole } from "../cli/format.js";
import { interruptible } from "../cli/interrupt.js";
import { examples, integer, number } from "../cli/options.js";
import { Output } from "../cli/output.js";
import { showProgress } from "../cli/progress.js";

interface PrepareOptions {
  readonly tokenizer: string;
  readonly output: string;
  readonly textKey: string;
  readonly textUnit: "line" | "file";
  readonly validation: number;
  readonly shardTokens: number;
  readonly overwrite?: boolean;
  readonly json?: boolean;
}

/** `openelm data`: corpora. */
export function dataCommand(): Command {
  return new Command("data")
    .summary("tokenize a corpus into shards")
    .description("Works on corpora.")
    .addCommand(prepareCommand());
}

function prepareCommand(): Command {
  return new Command("prepare")
    .description(
      "Tokenizes a corpus once, into shards that training maps into memory.\nStopped or killed, the same command goes on where it was; finished, it returns at once.",
    )
    .argument("<files...>", "text, JSONL or Parquet files, folders or globs")
    .requiredOption("-t, --tokenizer <path>", "tokenizer.json or tokenizer.model, or a folder with one")
    .requiredOption("-o, --output <folder>", "where the shards go")
    .option("--text-key <name>", "field or column with the text, in JSONL and Parquet", "text")
    .option("--text-unit <unit>", "what a document of a text file is: line or file", "line")
    .option(
      "--validation <share>",
      "share of the documents that is held out",
      number({ least: 0, most: 0.99 }),
      0.005,
    )
    .option("--shard-tokens <n>", "tokens of a shard", integer(1), 2 ** 26)
    .option("--overwrite", "replace another corpus in the folder")
    .option("--json", "progress and manifest as JSON, an object a line")
    .addHelpText(
      "after",
      examples(
        "openelm data prepare corpus/*.txt --tokenizer my-tokenizer -o shards",
        "openelm data prepare pages.parquet --text-key content -t tokenizer.model -o shards --validation 0.01",
      ),
    )
    .action(run);
}

async function run(inputs: string[], options: PrepareOptions): Promise<void> {
  const { prepare, Tokenizer } = await import("@openelm/data");
  const output = new Output({ json: options.json });
  const tokenizer = await Tokenizer.load(options.tokenizer);
  await interruptible(async (signal) => {
    const view = showProgress(output, "shards", "bytes");
    const { textKey, textUnit, shardTokens, validation, overwrite = false } = options;
    const manifest = await prepare(
      {
        inputs,
        output: options.output,
        tokenizer,
        textKey,
        textUnit,
        shardTokens,
        validationFraction: validation,
        overwrite,
      },
      {
        signal,
        onProgress({ done, total, rate, metrics }) {
          const eta = rate && total ? (total - done) / rate : undefined;
          const tokens = metrics?.tokens;
          view.update({
            done,
            total,
            eta,
            detail: [rate ? `${bytes(rate)}/s` : "", tokens ? `${count(tokens)} tokens` : ""]
              .filter(Boolean)
              .join("  "),
          });
        },
      },
    ).finally(() => view.end());
    output.emit({ type: "done", folder: options.output, manifest });
    const rows = (["train", "validation"] as const).map((split) => {
      const { documents, tokens, textBytes, shards } = manifest[split];
      return [split, whole(documents), whole(tokens), bytes(textBytes), String(shards.length)];
    });
    output.say(`${options.output}:`);
    output.say(table([["", "documents", "tokens", "text", "shards"], ...rows]));
  });
}
