import type { Device, Tuning } from "@openelm/tensor";
import type { Precision } from "@openelm/train";
import { Command, InvalidArgumentError, Option } from "commander";
import pc from "picocolors";
import { duration, whole } from "../cli/format.js";
import { interruptible } from "../cli/interrupt.js";
import { examples, integer } from "../cli/options.js";
import { Output } from "../cli/output.js";
import { showProgress } from "../cli/progress.js";

/** What a device can be tuned for. */
const PURPOSES = ["train", "prefill"] as const;
type Purpose = (typeof PURPOSES)[number];

interface TuneFlags {
  readonly model: string;
  readonly batch: number;
  readonly length: number;
  readonly precision: Precision;
  readonly for: readonly Purpose[];
  readonly device: string;
  readonly again?: boolean;
  readonly json?: boolean;
}

/** The exit code where there is nothing to tune. */
const NOTHING_CODE = 2;

/** `openelm tune`: measures products of matrices, and keeps the fastest way of each. */
export function tuneCommand(): Command {
  return new Command("tune")
    .summary("measure products of matrices on a GPU, and keep the fastest way of each")
    .description(
      "Runs a training update or reads a prompt, and times the ways that the GPU's library has for each product of\n" +
        "matrices in it. The fastest are kept in a table in OPENELM_CACHE (default ~/.cache/openelm), for this kind of GPU\n" +
        "and this version of the library; later runs use it by themselves, OPENELM_CUDA_TUNING=0 turns it off. A product\n" +
        "is known by its sizes: give the model, batch and length that you train with.",
    )
    .option("--model <model>", "a size by name, or a folder of a model or run", "OpenELM-270M")
    .option("--batch <n>", "sequences of a batch; a prompt is read alone", integer(1), 16)
    .option("--length <n>", "tokens of a sequence and of the prompt", integer(1), 2048)
    .addOption(
      new Option("--precision <dtype>", "of products in training, of the weights for a prompt")
        .choices(["f32", "bf16"])
        .default("bf16"),
    )
    .option("--for <work>", "what it is for: train, prefill, or both, with a comma", purposes, ["train"])
    .option("--device <name>", "the GPU: cuda, cuda:1, …", "cuda")
    .option("--again", "measure also what the table knows")
    .option("--json", "a JSON object a line: progress, then one for each kind of work")
    .addHelpText(
      "after",
      examples(
        "openelm tune --model OpenELM-270M --batch 16 --length 2048",
        "openelm tune --model runs/quickstart --batch 8 --length 512 --precision f32",
        "openelm tune --model OpenELM-1_1B --length 1024 --for prefill",
        "openelm tune --model OpenELM-270M --for train,prefill --again --json",
      ),
    )
    .action(tune);
}

function purposes(text: string): Purpose[] {
  const known = (word: string): word is Purpose => (PURPOSES as readonly string[]).includes(word);
  const words = text.split(",");
  if (!words.every(known)) throw new InvalidArgumentError(`it must be of ${PURPOSES.join(", ")}.`);
  return [...new Set(words)];
}

async function tune(flags: TuneFlags): Promise<void> {
  const { device: deviceOf } = await import("@openelm/tensor");
  const output = new Output({ json: flags.json });
  const device = deviceOf(flags.device);
  if (device.name === "meta" || device.tuningTable() === undefined) {
    const message = `there is nothing to tune on ${device.name}: it has one way to compute each product`;
    output.emit({ type: "error", code: "NOTHING_TO_TUNE", message });
    output.note(`${pc.red("error")} ${message}`);
    process.exitCode = NOTHING_CODE;
    return;
  }
  const { problem } = device.tuningTable()!;
  if (problem !== null) output.note(`the table is begun anew: ${problem}`);
  await interruptible(async (signal) => {
    for (const purpose of flags.for) {
      signal.throwIfAborted();
      await tuneFor(purpose, { flags, device, output, signal });
    }
  });
}

interface Task {
  readonly flags: TuneFlags;
  readonly device: Device;
  readonly output: Output;
  readonly signal: AbortSignal;
}

async function tuneFor(purpose: Purpose, { flags, device, output, signal }: Task): Promise<void> {
  const { length, precision, again = false } = flags;
  const batch = purpose === "train" ? flags.batch : 1;
  const shape = `${batch} × ${length} tokens in ${precision}`;
  output.note(`${flags.model}: making the model`);
  const { modelByName } = await import("../run/model-by-name.js");
  const { prefillOnce, trainOnce } = await import("../tune/work.js");
  const model = await modelByName(flags.model, { device, dtype: purpose === "train" ? "f32" : precision });
  const work = {
    train: () => trainOnce(model, { batch, length, precision, signal }),
    prefill: () => prefillOnce(model.eval(), { batch, length }),
  };
  output.note(`${flags.model}: measuring the products of ${TITLES[purpose]} of ${shape}`);
  const view = showProgress(output, "measured", "products");
  const onProgress = (done: number): void => view.update({ done, detail: `${whole(done)} products` });
  const start = performance.now();
  const tuning = await device.tune(work[purpose], { again, onProgress }).finally(() => view.end());
  const seconds = (performance.now() - start) / 1000;
  for (const parameter of model.parameters()) parameter.value.dispose();
  const { gainOf, gainTable } = await import("../tune/report.js");
  const { products, table } = tuning;
  output.emit({
    ...{
      type: "tuning",
      for: purpose,
      model: flags.model,
      device: device.name,
      precision,
      batch,
      length,
      seconds,
    },
    ...{ ...gainOf(products), products, table },
  });
  output.say(`${flags.model}: ${TITLES[purpose]} of ${shape}`);
  output.say(gainTable(tuning));
  output.say(summary(tuning, seconds));
}

const TITLES = { train: "a training update", prefill: "a prompt" } satisfies Record<Purpose, string>;

function summary({ products, table }: Tuning, seconds: number): string {
  const measured = products.filter((product) => product.measured).length;
  return (
    `${whole(measured)} of ${whole(products.length)} products measured in ${duration(seconds)}; ` +
    `table ${table.hash} of ${whole(table.products)} products in ${table.file}\n`
  );
}
