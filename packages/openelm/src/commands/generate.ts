import type { DType } from "@openelm/tensor";
import { Command, Option } from "commander";
import pc from "picocolors";
import { interruptible } from "../cli/interrupt.js";
import { examples, integer, number, repeated } from "../cli/options.js";
import { Output } from "../cli/output.js";

interface GenerateCommandOptions {
  readonly model: string;
  readonly prompt: string;
  readonly maxTokens: number;
  readonly temperature: number;
  readonly topK?: number;
  readonly topP?: number;
  readonly minP?: number;
  readonly repetitionPenalty: number;
  readonly stop?: readonly string[];
  readonly seed: number;
  readonly dtype?: DType;
  readonly device?: string;
  readonly json?: boolean;
}

/** `openelm generate`: continues a prompt, and shows the text as it is made. */
export function generateCommand(): Command {
  return new Command("generate")
    .summary("continue a prompt with a model")
    .description("Continues a prompt. The text appears as it is made.")
    .requiredOption("-m, --model <folder>", "a model's folder, or that of a run")
    .option("-p, --prompt <text>", "what to continue; - reads the standard input", "")
    .option("-n, --max-tokens <n>", "most tokens that are made", integer(1), 128)
    .option("-t, --temperature <x>", "0 takes the likeliest token always", number({ least: 0 }), 0.8)
    .option("--top-k <n>", "only the n likeliest tokens", integer(1))
    .option(
      "--top-p <x>",
      "only the likeliest tokens that have the probability x together",
      number({ least: 0, most: 1 }),
    )
    .option(
      "--min-p <x>",
      "only tokens at least x times as likely as the likeliest",
      number({ least: 0, most: 1 }),
    )
    .option(
      "--repetition-penalty <x>",
      "above 1 makes tokens rarer that came before",
      number({ least: 0 }),
      1,
    )
    .option("--stop <text>", "end before this text (may be repeated)", repeated)
    .option("--seed <n>", "same seed, same text", integer(), 0)
    .addOption(new Option("--dtype <dtype>", "cast the weights").choices(["f32", "bf16", "f16"]))
    .option("--device <name>", "where the model computes: cpu, cuda, cuda:1, …")
    .option("--json", "a JSON object a token, then one with the whole text")
    .addHelpText(
      "after",
      examples(
        'openelm generate --model runs/quickstart --prompt "ocean (noun):"',
        "openelm generate -m model -p 'Once upon a time' -n 200 -t 0.7 --top-p 0.9 --seed 3",
        "openelm generate -m model -p 'The sea' --device cuda --dtype bf16",
        "cat prompt.txt | openelm generate -m model -p - --json",
      ),
    )
    .action(run);
}

async function run(options: GenerateCommandOptions): Promise<void> {
  const { model: folder, prompt, json, dtype, device, stop, ...sampling } = options;
  const output = new Output({ json });
  const { generate } = await import("@openelm/models");
  const { loadModel } = await import("../run/model-folder.js");
  const { model, tokenizer } = await loadModel(folder, {
    ...(dtype && { dtype }),
    ...(device && { device }),
  });
  const text = prompt === "-" ? await readInput() : prompt;
  await interruptible(async (signal) => {
    const generation = generate(model, text, { ...sampling, tokenizer, signal, ...(stop ? { stop } : {}) });
    const since = performance.now();
    output.write(pc.dim(text));
    let [made, whole] = [0, ""];
    for await (const { id, text } of generation) {
      if (id >= 0) made++;
      whole += text;
      output.write(text);
      output.emit({ type: "token", id, text });
    }
    output.say();
    const seconds = (performance.now() - since) / 1000;
    output.emit({ type: "done", text: whole, tokens: made, seconds });
    output.note(pc.dim(`${made} tokens in ${seconds.toFixed(1)} s`));
  });
}

async function readInput(): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of process.stdin) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString("utf8");
}
