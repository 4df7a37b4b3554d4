import { Command } from "commander";
import { whole } from "../cli/format.js";
import { interruptible } from "../cli/interrupt.js";
import { examples, integer } from "../cli/options.js";
import { Output } from "../cli/output.js";
import { showProgress } from "../cli/progress.js";

interface TrainOptions {
  readonly vocabSize: number;
  readonly output: string;
  readonly textKey: string;
  readonly minFrequency: number;
  readonly json?: boolean;
}

/** `openelm tokenizer`: tokenizers. */
export function tokenizerCommand(): Command {
  return new Command("tokenizer")
    .summary("train a tokenizer")
    .description("Works on tokenizers.")
    .addCommand(trainCommand());
}

function trainCommand(): Command {
  return new Command("train")
    .description(
      "Trains a byte-level BPE tokenizer and writes tokenizer.json. The same text gives the same tokenizer.",
    )
    .argument("<files...>", "text, JSONL or Parquet files, folders or globs")
    .option(
      "--vocab-size <n>",
      "tokens of the vocabulary, bytes and special ones included",
      integer(256),
      32000,
    )
    .option("-o, --output <folder>", "where tokenizer.json goes", "tokenizer")
    .option("--text-key <name>", "field or column with the text, in JSONL and Parquet", "text")
    .option("--min-frequency <n>", "a pair is merged only if it occurs this often", integer(1), 2)
    .option("--json", "progress and result as JSON, an object a line")
    .addHelpText(
      "after",
      examples(
        "openelm tokenizer train corpus/*.txt --vocab-size 4096 -o my-tokenizer",
        "openelm tokenizer train data.parquet --text-key content --json",
      ),
    )
    .action(train);
}

async function train(
  files: string[],
  { vocabSize, output: folder, textKey, minFrequency, json }: TrainOptions,
): Promise<void> {
  const { Tokenizer } = await import("@openelm/data");
  const output = new Output({ json });
  await interruptible(async (signal) => {
    const view = showProgress(output, "tokenizer", "documents");
    let documents = 0;
    const tokenizer = await Tokenizer.train(files, {
      vocabSize,
      minFrequency,
      read: { textKey },
      signal,
      onProgress({ phase, done, total, unit }) {
        if (phase === "count") documents = done;
        view.update({ done, total, detail: total === undefined ? `${whole(done)} ${unit}` : phase });
      },
    }).finally(() => view.end());
    const file = await tokenizer.save(folder);
    output.emit({ type: "done", file, vocabSize: tokenizer.vocabSize, documents });
    output.say(`${file}: ${whole(tokenizer.vocabSize)} tokens, from ${whole(documents)} documents`);
    if (tokenizer.vocabSize < vocabSize)
      output.note(`the text has no more pairs to merge: asked were ${whole(vocabSize)} tokens`);
  });
}
