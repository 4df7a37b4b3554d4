import type { Calibration, QuantizedModel, ScaleName } from "@openelm/models";
import { Command, InvalidArgumentError, Option } from "commander";
import pc from "picocolors";
import { bytes, whole } from "../cli/format.js";
import { interruptible } from "../cli/interrupt.js";
import { examples, integer } from "../cli/options.js";
import { Output } from "../cli/output.js";
import { OWN_NAME } from "../cli/own-name.js";
import { type ProgressView, showProgress } from "../cli/progress.js";

interface QuantizeFlags {
  readonly bits: number;
  readonly group: number;
  readonly method: "rtn" | "gptq";
  readonly calibration?: string;
  readonly lines?: boolean;
  readonly sequences: number;
  readonly length?: number;
  readonly keep?: readonly RegExp[];
  readonly dtype?: ScaleName;
  readonly device?: string;
  readonly force?: boolean;
  readonly json?: boolean;
}

/** A regular expression, collected as it may be given several times. */
function pattern(text: string, earlier: readonly RegExp[] = []): RegExp[] {
  try {
    return [...earlier, new RegExp(text)];
  } catch (error) {
    throw new InvalidArgumentError(`it must be a regular expression: ${(error as Error).message}.`);
  }
}

/** `openelm quantize`: a model in codes of a few bits. */
export function quantizeCommand(): Command {
  return new Command("quantize")
    .summary("round a model's weights to a few bits")
    .description(
      "Rounds the matrices of a model to codes of a few bits with a scale and a bias for each group, and writes a\n" +
        "folder that openelm and mlx-lm load. All linear layers and embeddings whose rows are whole groups are\n" +
        "rounded, but for those that --keep names.\n\n" +
        "  rtn   each weight to the nearest code; some rows are in memory at a time\n" +
        "  gptq  weights make good what others are off, as far as outputs on a text show it; needs --calibration,\n" +
        "        and the model in memory. Closer to the model, most of all at 4 bits and below",
    )
    .argument("<source>", "a model's folder or that of a run; rtn also takes a .pt or a .gguf file")
    .argument("<destination>", "the folder to make")
    .option("--bits <n>", "bits of a code, 2 to 8", integer(2), 4)
    .option("--group <n>", "weights that share a scale: 32, 64 or 128", integer(1), 64)
    .addOption(
      new Option(
        "--method <name>",
        "how weights are rounded (default: gptq with --calibration, else rtn)",
      ).choices(["rtn", "gptq"]),
    )
    .option("--calibration <file>", "gptq: a text file of the kind that the model is for")
    .option("--lines", "gptq: every line of it is a text of its own")
    .option("--sequences <n>", "gptq: how many pieces of it are used", integer(1), 128)
    .option("--length <n>", "gptq: tokens of a piece (default: the context, at most 512)", integer(2))
    .option(
      "--keep <pattern>",
      "leave layers as they are whose name matches this regular expression, such as\n" +
        "transformer.layers.0.ffn.proj_2 or lm_head (may be repeated)",
      pattern,
    )
    .addOption(
      new Option("--dtype <dtype>", "of scales and of what stays (default: as in the source)").choices([
        "f32",
        "bf16",
        "f16",
      ]),
    )
    .option("--device <name>", "gptq: where the model computes: cpu, cuda, cuda:1, …")
    .option("--force", "replace what is there")
    .option("--json", "progress and result as JSON, an object a line")
    .addHelpText(
      "after",
      examples(
        "openelm quantize OpenELM-270M OpenELM-270M-4bit",
        "openelm quantize OpenELM-3B OpenELM-3B-4bit --group 32 --dtype bf16 --keep token_embeddings",
        "openelm quantize runs/quickstart quick-4bit --calibration notes.txt",
        "openelm quantize model model-3bit --bits 3 --calibration wiki.txt --sequences 256 --device cuda",
        "openelm perplexity OpenELM-270M-4bit notes.txt --against OpenELM-270M",
      ),
    )
    .action(quantize);
}

async function quantize(source: string, destination: string, flags: QuantizeFlags): Promise<void> {
  const { bits, group, keep, dtype, force } = flags;
  const output = new Output({ json: flags.json });
  const { quantizeModel } = await import("@openelm/models");
  const { modelSource } = await import("../run/model-folder.js");
  const from = await modelSource(source);
  const calibration = await calibrationOf(from, flags);
  await interruptible(async (signal) => {
    const views = new Map<string, ProgressView>();
    const viewOf = (phase: string, unit: string): ProgressView => {
      const view = views.get(phase) ?? showProgress(output, phase === "convert" ? "write" : phase, unit);
      views.set(phase, view);
      return view;
    };
    const made = await quantizeModel(from, destination, {
      ...{ bits, group, keep, dtype, calibration, signal, replace: force },
      onProgress: ({ phase, unit, done, total }) => {
        if (phase === "convert") views.get("calibrate")?.end();
        const detail = unit === "bytes" ? `${bytes(done)} of ${bytes(total)}` : `layer ${done} of ${total}`;
        viewOf(phase, unit).update({ done, total, detail });
      },
    }).finally(() => {
      for (const view of views.values()) view.end();
    });
    output.emit({ type: "done", path: destination, ...made });
    output.say(summary(destination, made));
    if (made.kept.length > 0) output.note(`not rounded: ${made.kept.join(", ")}`);
    output.note(pc.dim(`${OWN_NAME} perplexity ${destination} TEXT --against ${source}`));
  });
}

const summary = (destination: string, made: QuantizedModel): string =>
  `${destination}: ${whole(made.layers)} layers rounded, ${bytes(made.bytesBefore)} of weights before and ` +
  `${bytes(made.bytes)} now, ${made.bitsPerWeight.toFixed(2)} bits a weight`;

async function calibrationOf(
  folder: string,
  { method, calibration: file, lines, sequences, length, device }: QuantizeFlags,
): Promise<Calibration | undefined> {
  const { UsageError } = await import("@openelm/native");
  if (method === "gptq" && file === undefined) {
    throw new UsageError("gptq rounds by a text: name one with --calibration FILE");
  }
  if (method === "rtn" && file !== undefined) {
    throw new UsageError("rtn looks at no text: leave --calibration out, or choose --method gptq");
  }
  if (file === undefined) return undefined;
  const [{ readConfig }, { loadTokenizer }, { piecesOf }] = await Promise.all([
    import("@openelm/models"),
    import("../run/model-folder.js"),
    import("../run/texts.js"),
  ]);
  const { maxContextLength } = await readConfig(folder);
  const tokenizer = await loadTokenizer(folder);
  return {
    sequences: await piecesOf(file, tokenizer, {
      lines,
      length: length ?? Math.min(maxContextLength, 512),
      count: sequences,
    }),
    device,
  };
}
