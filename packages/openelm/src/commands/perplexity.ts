import type { PerplexityResult, TextScore } from "@openelm/models";
import { Command, Option } from "commander";
import { table, whole } from "../cli/format.js";
import { interruptible } from "../cli/interrupt.js";
import { examples, integer } from "../cli/options.js";
import { Output } from "../cli/output.js";
import { showProgress } from "../cli/progress.js";

interface PerplexityFlags {
  readonly against?: string;
  readonly lines?: boolean;
  readonly window?: number;
  readonly stride?: number;
  readonly maxTokens?: number;
  readonly adapter?: string;
  readonly device?: string;
  readonly dtype?: "f32" | "bf16" | "f16";
  readonly json?: boolean;
}

/** `openelm perplexity`: how well a model foretells a text, and how near it is to another model. */
export function perplexityCommand(): Command {
  return new Command("perplexity")
    .summary("how well a model foretells a text, and how far it is from another")
    .description(
      "Scores each token of a text but the first. A text longer than the window is seen in windows that overlap,\n" +
        "so that all tokens after the first window follow from at least window - stride tokens.\n" +
        "With --against, the distributions of two models are compared, such as before and after quantization:\n" +
        "KL divergence in nats a token, and how often both think the same token the likeliest.",
    )
    .argument("<model>", "a model's folder, or that of a run")
    .argument("<text>", "a text file")
    .option("--against <folder>", "the model to compare with, of the same tokenizer")
    .option("--lines", "every line is a text of its own")
    .option("--window <n>", "tokens seen together (default: the context, at most 2048)", integer(2))
    .option("--stride <n>", "tokens from one window to the next (default: half of the window)", integer(1))
    .option("--max-tokens <n>", "stop after about so many tokens", integer(2))
    .option("--adapter <folder>", "an adapter of PEFT or mlx-lm that changes <model>")
    .option("--device <name>", "where the models compute: cpu, cuda, cuda:1, …")
    .addOption(new Option("--dtype <dtype>", "cast the weights").choices(["f32", "bf16", "f16"]))
    .option("--json", "progress and result as JSON, an object a line")
    .addHelpText(
      "after",
      examples(
        "openelm perplexity runs/quickstart notes.txt",
        "openelm perplexity OpenELM-270M-4bit notes.txt --against OpenELM-270M",
        "openelm perplexity model sentences.txt --lines --max-tokens 100000 --json",
        "openelm perplexity model book.txt --window 1024 --stride 256 --device cuda",
      ),
    )
    .action(run);
}

async function run(folder: string, file: string, flags: PerplexityFlags): Promise<void> {
  const { against, lines, window, stride, maxTokens, device, dtype } = flags;
  const output = new Output({ json: flags.json });
  const [{ OpenELM, perplexity }, { findModelFolder, loadModel }, { scoredTexts }] = await Promise.all([
    import("@openelm/models"),
    import("../run/model-folder.js"),
    import("../run/texts.js"),
  ]);
  const place = { ...(dtype && { dtype }), ...(device && { device }) };
  const { model, tokenizer } = await loadModel(folder, { ...place, adapter: flags.adapter });
  const other = against === undefined ? undefined : await OpenELM.load(await findModelFolder(against), place);
  const { ids, bytes } = await scoredTexts(file, tokenizer, { lines, maxTokens });
  const result = await interruptible(async (signal) => {
    const view = showProgress(output, "perplexity", "tokens");
    return perplexity(model, ids, {
      ...{ against: other, window, stride, signal, bytes },
      onProgress: (progress) => view.update(progress),
    }).finally(() => view.end());
  });
  output.emit({ type: "done", ...result });
  output.say(describeScores(result, [folder, against]));
  output.note(
    `${whole(result.tokens)} tokens, in windows of at most ${whole(result.window)} that begin every ${whole(result.stride)}`,
  );
}

/** A table of what was found. */
function describeScores(
  result: PerplexityResult,
  [folder, against]: readonly [string, string | undefined],
): string {
  const row = (name: string, { perplexity, bitsPerByte, nats }: TextScore): string[] => [
    name,
    perplexity.toPrecision(6),
    nats.toFixed(4),
    bitsPerByte!.toFixed(4),
  ];
  const rows = [["", "perplexity", "nats/token", "bits/byte"], row(folder, result)];
  if (against === undefined) return table(rows);
  const { kl, agreement } = result.against!;
  return [
    table([...rows, row(against, result.against!)]),
    `KL divergence ${kl.toPrecision(3)} nats a token, the same likeliest token at ${(100 * agreement).toFixed(1)}% of the positions`,
  ].join("\n");
}
