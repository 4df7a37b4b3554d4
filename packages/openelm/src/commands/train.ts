import { basename, extname, join } from "node:path";
import type { TrainConfig, TrainConfigInput } from "@openelm/train";
import { Command, InvalidArgumentError } from "commander";
import pc from "picocolors";
import { whole } from "../cli/format.js";
import { interruptible } from "../cli/interrupt.js";
import { examples, integer, number, repeated } from "../cli/options.js";
import { Output } from "../cli/output.js";
import { showProgress } from "../cli/progress.js";
import { TrainingView } from "../cli/training-view.js";
import type { TuneRun } from "../run/tune-config.js";

interface TrainOptions {
  readonly text?: string;
  readonly from?: string;
  readonly lora?: true | LoraSettings;
  readonly folder?: string;
  readonly minutes?: number;
  readonly steps?: number;
  readonly set?: readonly string[];
  readonly device?: string;
  readonly capture?: boolean;
  readonly printConfig?: boolean;
  readonly json?: boolean;
}

type LoraSettings = NonNullable<TrainConfigInput["lora"]>;

/** `rank=8,alpha=16,targets=attn`, checked where the configuration is. */
function loraSettings(text: string): LoraSettings {
  const pairs = text.split(",").map((pair) => {
    const [, key, value] = /^(\w+)=(.+)$/.exec(pair) ?? [];
    if (key === undefined || value === undefined)
      throw new InvalidArgumentError(`it must be settings such as rank=8,dropout=0.1, and ${pair} is none.`);
    const isOther = /^(?:true|false|[\d.]+(?:e-?\d+)?)$/.test(value);
    return [key, isOther ? (JSON.parse(value) as unknown) : value];
  });
  return Object.fromEntries(pairs) as LoraSettings;
}

/** `openelm train`: trains a model, and goes on with a run that was stopped. */
export function trainCommand(): Command {
  return new Command("train")
    .summary("train a model from a configuration or a text")
    .description(
      "Trains a model. A run that was stopped goes on where it was: run the same command again.\n" +
        "Ctrl-C saves and stops; twice stops at once.",
    )
    .argument("[config]", "a configuration in YAML; --print-config shows all its options")
    .option("--text <file>", "train a small model on this text; no configuration is needed")
    .option("--from <folder>", "with --text: go on with this model, or that of a run, instead of a new one")
    .option(
      "--lora [settings]",
      "with --from: train adapters beside its layers, quantized or not, such as\n" +
        "rank=8,alpha=16,dropout=0.05,targets=attn,rankStabilized=true,dora=true",
      loraSettings,
    )
    .option("--folder <folder>", "where logs and checkpoints go (default: runs/ and the name of the file)")
    .option("--minutes <n>", "minutes of training (default with --text: 5)", number({ least: 0.01 }))
    .option("--steps <n>", "updates, instead of minutes", integer(1))
    .option("--device <name>", "where the model computes: cpu, cuda, cuda:1, … (sets device)")
    .option(
      "--capture",
      "replay each update as one command, or say why not (sets capture; default: where it can be)",
    )
    .option("--no-capture", "run each update call by call")
    .option("--set <key=value>", "change an option of the configuration (may be repeated)", repeated)
    .option("--print-config", "print the whole configuration with comments, and do nothing else")
    .option("--json", "the run's events as JSON, an object a line")
    .addHelpText(
      "after",
      examples(
        "openelm train --text notes.txt --minutes 10",
        "openelm train config.yaml --set optim.lr=1e-3 --set batch.sequences=32",
        "openelm train --text notes.txt --from OpenELM-270M --lora rank=16,targets=attn --minutes 20",
        "openelm train config.yaml --device cuda --set precision=bf16",
        "openelm train --text notes.txt --print-config > config.yaml",
        "openelm train config.yaml --json | jq 'select(.type == \"eval\")'",
      ),
    )
    .action(train);
}

async function train(file: string | undefined, options: TrainOptions): Promise<void> {
  const output = new Output({ json: options.json });
  const { config, folder } = await configuration(file, options);
  if (options.printConfig) {
    const { printTrainConfig } = await import("@openelm/train");
    process.stdout.write(printTrainConfig(config));
    return;
  }
  const { assemble, saveModel } = await import("../run/assemble.js");
  await interruptible(
    async (signal) => {
      const corpus = await prepared(config, folder, output, signal);
      const run = await assemble(config, corpus, { folder });
      await writeConfig(config, folder);
      const { model } = run;
      output.note(
        `${whole(model.parameterCount())} parameters, ${run.lora === undefined ? "" : `${whole(run.lora.parameterCount())} of them trained, `}${config.model && model.config.layers} layers; ${whole(corpus.manifest.train.tokens)} tokens of text`,
      );
      const view = new TrainingView(output);
      try {
        for await (const event of run.trainer.run({ signal })) view.show(event);
      } finally {
        view.end();
      }
      const target = await saveModel(run);
      output.emit({ type: run.lora === undefined ? "model" : "adapter", folder: target });
      output.say(
        run.lora === undefined
          ? `${target}: the model, in Hugging Face form\n${pc.dim(`openelm generate --model ${folder} --prompt "..."`)}`
          : `${target}: the adapter, in PEFT's form\n${pc.dim(`openelm generate --model ${run.base ?? "MODEL"} --adapter ${target} --prompt "..."`)}`,
      );
    },
    () => output.note("stopping; the same command goes on. Ctrl-C again stops at once"),
  );
}

/** The configuration that the command line means. */
async function configuration(
  file: string | undefined,
  options: TrainOptions,
): Promise<{ config: TrainConfig; folder: string }> {
  const [{ loadTrainConfig, parseTrainYaml }, { UsageError }, { runFolder }] = await Promise.all([
    import("@openelm/train"),
    import("@openelm/native"),
    import("../run/assemble.js"),
  ]);
  const { text, minutes, steps, device, capture } = options;
  const set = [
    ...(options.set ?? []),
    ...(device === undefined ? [] : [`device=${JSON.stringify(device)}`]),
    ...(capture === undefined ? [] : [`capture=${capture}`]),
  ];
  if ((file === undefined) === (text === undefined)) {
    throw new UsageError(
      "say what to train on: a configuration, or --text FILE (and not both); openelm train --help has examples",
    );
  }
  if (text === undefined && (options.from ?? options.lora) !== undefined) {
    throw new UsageError("--from and --lora go with --text; a configuration has model and lora");
  }
  if (options.lora !== undefined && options.from === undefined) {
    throw new UsageError("--lora trains beside a model: name it with --from FOLDER");
  }
  const limits = [
    ...(minutes === undefined ? [] : [`minutes=${minutes}`]),
    ...(steps === undefined ? [] : [`steps=${steps}`]),
  ];
  if (text === undefined) {
    const own = options.folder === undefined ? [] : [`folder=${JSON.stringify(options.folder)}`];
    const config = await loadTrainConfig(file!, { set: [...set, ...limits, ...own] });
    return { config, folder: runFolder(config, file!) };
  }
  const folder = options.folder ?? join("runs", basename(text, extname(text)));
  const [{ ownText }, { smallConfig }] = await Promise.all([
    import("../run/own-text.js"),
    import("../run/small-config.js"),
  ]);
  const { path, bytes } = await ownText(text, folder);
  const length = steps === undefined ? { minutes: minutes ?? 5 } : { steps, minutes };
  const input =
    options.from === undefined
      ? smallConfig({ text: path, bytes, folder, ...length })
      : await tuned(options.from, { text: path, folder, lora: options.lora, ...length });
  return { config: parseTrainYaml(JSON.stringify(input), { set, name: "--text" }), folder };
}

/** What goes on with a model that is there. */
async function tuned(
  from: string,
  {
    lora,
    ...run
  }: Omit<TuneRun, "from" | "contextLength" | "lora"> & { readonly lora: TrainOptions["lora"] },
): Promise<TrainConfigInput> {
  const [{ readConfig }, { findModelFolder }, { tuneConfig }] = await Promise.all([
    import("@openelm/models"),
    import("../run/model-folder.js"),
    import("../run/tune-config.js"),
  ]);
  const folder = await findModelFolder(from);
  const { maxContextLength } = await readConfig(folder);
  return tuneConfig({
    ...run,
    from: folder,
    contextLength: maxContextLength,
    lora: lora === true ? {} : lora,
  });
}

async function prepared(config: TrainConfig, folder: string, output: Output, signal: AbortSignal) {
  const { corpusOf } = await import("../run/text.js");
  const views = new Map<string, ReturnType<typeof showProgress>>();
  try {
    return await corpusOf(config, {
      folder,
      signal,
      onProgress(stage, { done, total, unit }) {
        const view = views.get(stage) ?? showProgress(output, stage, unit);
        views.set(stage, view);
        view.update({ done, total });
      },
    });
  } finally {
    for (const view of views.values()) view.end();
  }
}

/** Leaves the configuration with the run. */
async function writeConfig(config: TrainConfig, folder: string): Promise<void> {
  const { printTrainConfig, writeFileDurably } = await import("@openelm/train");
  const { mkdir } = await import("node:fs/promises");
  await mkdir(folder, { recursive: true });
  await writeFileDurably(join(folder, "config.yaml"), printTrainConfig(config));
}
