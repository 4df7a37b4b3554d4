import type { ModelFormat, ScaleName, VocabularySize } from "@openelm/models";
import { Command, InvalidArgumentError, Option } from "commander";
import { bytes, whole } from "../cli/format.js";
import { interruptible } from "../cli/interrupt.js";
import { examples, integer } from "../cli/options.js";
import { Output } from "../cli/output.js";
import { showProgress } from "../cli/progress.js";

interface ConvertCommandOptions {
  readonly to: ModelFormat | "peft";
  readonly adapter?: string;
  readonly dtype?: ScaleName;
  readonly bits?: number;
  readonly group?: number;
  readonly encoding?: "f32" | "f16" | "bf16" | "q8_0" | "q4_0";
  readonly vocab?: VocabularySize;
  readonly state: "model" | "ema";
  readonly config?: string;
  readonly tokenizer?: string;
  readonly force?: boolean;
  readonly json?: boolean;
}

/** Vocabularies by name; the library has their sizes. */
const VOCABULARY_NAMES = ["same", "released", "padded", "trained"];

function vocabulary(text: string): VocabularySize {
  if (VOCABULARY_NAMES.includes(text)) return text as VocabularySize;
  const size = Number(text);
  if (Number.isSafeInteger(size) && size >= 1) return size;
  throw new InvalidArgumentError(`it must be ${VOCABULARY_NAMES.join(", ")} or a number of tokens.`);
}

/** `openelm convert`: a model's files in the form that another program reads. */
export function convertCommand(): Command {
  return new Command("convert")
    .summary("bring a model into the form of another program")
    .description(
      "Converts a model. What the source is, is told by what is in it: a folder of\n" +
        "the Hugging Face port or of MLX, a checkpoint of CoreNet (.pt) or a GGUF file.\n" +
        "Nothing in a checkpoint is executed.\n\n" +
        "  hf       a folder with config.json and safetensors, which openelm loads too\n" +
        "  corenet  a .pt file that torch.load reads\n" +
        "  mlx      a folder that mlx-lm loads, in codes with --bits\n" +
        "  gguf     a file that llama.cpp runs\n" +
        "  peft     an adapter's folder that PEFT loads, out of one of mlx-lm or PEFT\n\n" +
        "An adapter converts to mlx as well, with --config naming the model it is for.",
    )
    .argument(
      "<source>",
      "a model's folder or that of a run, a .pt file, a .gguf file, a model of the hub, or an adapter's folder",
    )
    .argument("<destination>", "a folder for hf and mlx, a file for corenet and gguf")
    .addOption(
      new Option("--to <form>", "what to make")
        .choices(["hf", "corenet", "mlx", "gguf", "peft"])
        .makeOptionMandatory(),
    )
    .addOption(new Option("--dtype <dtype>", "cast the weights").choices(["f32", "bf16", "f16"]))
    .option("--bits <n>", "mlx: round the matrices to codes of n bits, 2 to 8", integer(2))
    .addOption(
      new Option(
        "--group <n>",
        "with --bits: weights that share a scale: 32, 64 or 128 (default: 64)",
      ).argParser(integer(1)),
    )
    .addOption(
      new Option(
        "--encoding <name>",
        "gguf: how the matrices are stored (default: as in the source)",
      ).choices(["f32", "f16", "bf16", "q8_0", "q4_0"]),
    )
    .option(
      "--vocab <size>",
      "released (32000 tokens), padded (32001), trained (32128), same, or a number\n" +
        "(default: released of the larger two, same for corenet)",
      vocabulary,
    )
    .addOption(
      new Option("--state <which>", "corenet: the weights of a training checkpoint, or their average")
        .choices(["model", "ema"])
        .default("model"),
    )
    .option("--config <size|folder>", "corenet: the configuration (default: what the tensors tell)")
    .option("--adapter <folder>", "merge an adapter of PEFT or mlx-lm into the weights")
    .option("--tokenizer <file>", "the tokenizer that goes with the model (default: what lies beside it)")
    .option("--force", "replace what is there")
    .option("--json", "progress and result as JSON, an object a line")
    .addHelpText(
      "after",
      examples(
        "openelm convert OpenELM-270M openelm-270m.gguf --to gguf --encoding q8_0 --tokenizer tokenizer.model",
        "openelm convert checkpoint_average.pt OpenELM-1_1B --to hf --dtype bf16",
        "openelm convert training_checkpoint_last.pt model --to hf --state ema",
        "openelm convert OpenELM-3B OpenELM-3B-4bit --to mlx --bits 4 --group 32",
        "openelm convert apple/OpenELM-450M OpenELM-450M.gguf --to gguf --tokenizer tokenizer.model",
        "openelm convert runs/quickstart quickstart.gguf --to gguf",
        "openelm convert OpenELM-270M tuned.gguf --to gguf --adapter my-adapter",
        "openelm convert mlx-adapters peft-adapter --to peft",
      ),
    )
    .action(convert);
}

async function convert(
  source: string,
  destination: string,
  { json, bits, group, vocab, force, to, ...options }: ConvertCommandOptions,
): Promise<void> {
  const { convertModel, isAdapterFolder } = await import("@openelm/models");
  const { modelSource } = await import("../run/model-folder.js");
  const output = new Output({ json });
  const { UsageError } = await import("@openelm/native");
  if (group !== undefined && bits === undefined)
    throw new UsageError("--group goes with --bits, which says that the matrices become codes");
  if (isAdapterFolder(source) || to === "peft") {
    const { dtype, config, state, ...others } = { ...options, bits, vocab };
    const [other] = Object.entries(others).find(([, value]) => value !== undefined) ?? [];
    if (other !== undefined) throw new UsageError(`--${other} is for models, not for an adapter by itself`);
    return convertAdapterOf(source, destination, output, { to, dtype, config, replace: force });
  }
  await interruptible(async (signal) => {
    const view = showProgress(output, "convert", "bytes");
    const made = await convertModel(await modelSource(source), destination, {
      ...options,
      to,
      quantize: bits === undefined ? undefined : { bits, group: group ?? 64 },
      vocabulary: vocab,
      replace: force,
      signal,
      onProgress: ({ done, total }) =>
        view.update({ done, total, detail: `${bytes(done)} of ${bytes(total)}` }),
    }).finally(() => view.end());
    output.emit({ type: "done", path: destination, ...made });
    output.say(
      `${destination}: ${whole(made.parameters)} parameters, ${whole(made.vocabSize)} tokens, ${bytes(made.bytes)} of weights, from ${made.from}`,
    );
    if (made.note !== undefined) output.note(made.note);
  });
}

/** An adapter's folder in the form of another program. */
async function convertAdapterOf(
  source: string,
  destination: string,
  output: Output,
  {
    to,
    config,
    ...options
  }: {
    readonly to: ConvertCommandOptions["to"];
    readonly config: string | undefined;
    readonly dtype: ScaleName | undefined;
    readonly replace: boolean | undefined;
  },
): Promise<void> {
  const [{ convertAdapter, isAdapterFolder, namedConfig }, { UsageError }] = await Promise.all([
    import("@openelm/models"),
    import("@openelm/native"),
  ]);
  if (!isAdapterFolder(source))
    throw new UsageError(
      `${source} is no adapter's folder, which --to peft is for: it has no adapter_config.json`,
    );
  if (to !== "peft" && to !== "mlx")
    throw new UsageError(
      `an adapter converts to peft and mlx; to merge it: openelm convert MODEL ${destination} --to ${to} --adapter ${source}`,
    );
  const made = await convertAdapter(source, destination, {
    ...{ ...options, to },
    config: config === undefined ? undefined : await namedConfig(config),
  });
  output.emit({ type: "done", path: destination, ...made });
  output.say(
    `${destination}: an adapter of ${whole(made.layers)} layers, ${whole(made.parameters)} parameters, from ${made.from}`,
  );
}
