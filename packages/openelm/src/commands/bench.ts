import type { DType } from "@openelm/tensor";
import { Command, Option } from "commander";
import { bytes, table } from "../cli/format.js";
import { interruptible } from "../cli/interrupt.js";
import { examples, integer } from "../cli/options.js";
import { Output } from "../cli/output.js";

interface ThroughputFlags {
  readonly promptTokens: number;
  readonly newTokens: number;
  readonly rounds: number;
  readonly capture: boolean;
  readonly dtype?: DType;
  readonly device?: string;
  readonly json?: boolean;
}

/** `openelm bench`: how fast models are here. */
export function benchCommand(): Command {
  return new Command("bench")
    .summary("measure how fast models are on this machine")
    .description("Measures models on this machine.")
    .addCommand(throughputCommand());
}

function throughputCommand(): Command {
  return new Command("throughput")
    .description(
      "Measures tokens a second of one sequence with a key-value cache: of the prompt, of the text after its first\n" +
        "token, and of both over the whole time. A size by name has random weights, a folder its own; the speed is\n" +
        "the same. Greedy; one round that does not count, then the median of the others.",
    )
    .argument("[models...]", "sizes by name, folders of models or runs", ["OpenELM-270M"])
    .option("--prompt-tokens <n>", "tokens of the prompt", integer(1), 35)
    .option("--new-tokens <n>", "tokens that are made; the OpenELM paper makes 1024", integer(1), 128)
    .option("--rounds <n>", "rounds that count", integer(1), 3)
    .option("--no-capture", "run each step call by call instead of replaying a recording of it")
    .addOption(
      new Option(
        "--dtype <dtype>",
        "dtype of the weights (default: bf16 for sizes, as they are for folders)",
      ).choices(["f32", "bf16", "f16"]),
    )
    .option("--device <name>", "where the model computes: cpu, cuda, cuda:1, …")
    .option("--json", "a JSON object a model")
    .addHelpText(
      "after",
      examples(
        "openelm bench throughput",
        "openelm bench throughput OpenELM-270M OpenELM-450M --dtype f32",
        "openelm bench throughput OpenELM-270M OpenELM-1_1B OpenELM-3B --device cuda --new-tokens 1024",
        "openelm bench throughput runs/quickstart --json",
      ),
    )
    .action(throughput);
}

async function throughput(models: string[], flags: ThroughputFlags): Promise<void> {
  const { promptTokens, newTokens, rounds } = flags;
  const { measureThroughput, middle } = await import("../bench/throughput.js");
  const { modelByName } = await import("../run/model-by-name.js");
  const output = new Output({ json: flags.json });
  const rows: string[][] = [];
  await interruptible(async (signal) => {
    for (const name of models) {
      const model = (await modelByName(name, { dtype: flags.dtype, device: flags.device ?? "cpu" })).eval();
      const { dtype, device } = model.norm.weight;
      const options = {
        promptTokens,
        newTokens,
        device,
        signal,
        ...(flags.capture ? {} : { capture: false }),
      };
      const measured = [];
      for (let round = 0; round <= rounds; round++) {
        output.note(`${name}: ${round === 0 ? "warming up" : `round ${round} of ${rounds}`}`);
        const result = await measureThroughput(model, options);
        if (round > 0) measured.push(result);
      }
      const { prompt, generation, total, memory } = middle(measured);
      const parameters = model.parameterCount();
      output.emit({
        ...{ model: name, parameters, device: device.name, dtype, promptTokens, newTokens, rounds },
        ...{
          promptTokensPerSecond: prompt,
          generationTokensPerSecond: generation,
          totalTokensPerSecond: total,
        },
        memory,
      });
      const speeds = [prompt, generation, total].map((rate) => rate.toFixed(2));
      rows.push([name, device.name, dtype, ...speeds, bytes(memory)]);
      for (const parameter of model.parameters()) parameter.value.dispose();
    }
  });
  output.say(`tokens/s: prompt of ${promptTokens}, ${newTokens} made, batch 1`);
  output.say(table([["model", "device", "dtype", "prompt", "generation", "total", "memory"], ...rows]));
}
