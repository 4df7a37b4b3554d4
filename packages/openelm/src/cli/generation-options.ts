//! Options that all commands share which make text.
import type { DraftOptions, SamplingOptions } from "@openelm/models";
import type { DType } from "@openelm/tensor";
import { type Command, InvalidArgumentError, Option } from "commander";
import { integer, number, repeated } from "./options.js";

/** What the options say, as commander gives it. */
export interface GenerationFlags {
  readonly model: string;
  readonly maxTokens: number;
  readonly temperature: number;
  readonly topK?: number;
  readonly topP?: number;
  readonly minP?: number;
  readonly repetitionPenalty?: number;
  readonly presencePenalty?: number;
  readonly frequencyPenalty?: number;
  readonly logitBias?: ReadonlyMap<number, number>;
  readonly stop?: readonly string[];
  readonly seed: number;
  readonly promptLookup?: boolean;
  readonly draftModel?: string;
  readonly draftTokens?: number;
  readonly prefillChunk?: number;
  readonly capture: boolean;
  readonly adapter?: string;
  readonly dtype?: DType;
  readonly device?: string;
}

/** How the model is loaded. */
export const loadingOf = ({
  adapter,
  dtype,
  device,
}: Pick<GenerationFlags, "adapter" | "dtype" | "device">) => ({
  adapter,
  ...(dtype && { dtype }),
  ...(device && { device }),
});

const SHARE = number({ least: 0, most: 1 });

/** Puts the options on a command, in the order in which its help shows them. */
export function generationOptions(command: Command, { maxTokens }: { readonly maxTokens: number }): Command {
  return command
    .option("-n, --max-tokens <n>", "most tokens that are made", integer(1), maxTokens)
    .option("-t, --temperature <x>", "0 takes the likeliest token always", number({ least: 0 }), 0.8)
    .option("--top-k <n>", "only the n likeliest tokens", integer(1))
    .option("--top-p <x>", "only the likeliest tokens that have the probability x together", SHARE)
    .option("--min-p <x>", "only tokens at least x times as likely as the likeliest", SHARE)
    .option("--repetition-penalty <x>", "above 1 makes tokens rarer that came before", number({ least: 0 }))
    .option("--presence-penalty <x>", "taken from the score of tokens that were made before", number())
    .option("--frequency-penalty <x>", "the same for each time that they were made", number())
    .option("--logit-bias <id=x>", "added to the score of a token; -inf forbids it (may be repeated)", bias)
    .option("--stop <text>", "end before this text (may be repeated)", repeated)
    .option("--seed <n>", "same seed, same text", integer(), 0)
    .option("--prompt-lookup", "guess tokens by what stood in the text before; for text that repeats itself")
    .option("--draft-model <folder>", "guess tokens with a smaller model of the same vocabulary")
    .option("--draft-tokens <n>", "tokens that are guessed at a time, 1 to 15", integer(1))
    .option("--prefill-chunk <n>", "tokens of the prompt that are read at once, to save memory", integer(1))
    .option("--no-capture", "run each step call by call instead of replaying a recording of it")
    .option("--adapter <folder>", "an adapter of PEFT or mlx-lm that changes the model")
    .addOption(new Option("--dtype <dtype>", "cast the weights").choices(["f32", "bf16", "f16"]))
    .option("--device <name>", "where the model computes: cpu, cuda, cuda:1, …");
}

/** What of it goes to the model as it is. */
export function samplingOf(flags: GenerationFlags): SamplingOptions & {
  readonly maxTokens: number;
  readonly seed: number;
  readonly stop: readonly string[];
  readonly prefillChunk: number | undefined;
  readonly capture?: false;
} {
  const { temperature, topK, topP, minP, repetitionPenalty, presencePenalty, frequencyPenalty } = flags;
  const { logitBias, maxTokens, seed, stop = [], prefillChunk, capture } = flags;
  return {
    ...{ temperature, topK, topP, minP, repetitionPenalty, presencePenalty, frequencyPenalty },
    ...{ logitBias, maxTokens, seed, stop, prefillChunk },
    ...(capture ? {} : { capture }),
  };
}

/** Where guesses come from; undefined without. */
export async function draftOf({
  promptLookup,
  draftModel,
  draftTokens: tokens,
  dtype,
  device,
}: GenerationFlags): Promise<DraftOptions | undefined> {
  const { UsageError } = await import("@openelm/native");
  if (draftModel === undefined) {
    if (promptLookup) return { from: "prompt", tokens };
    if (tokens === undefined) return undefined;
    throw new UsageError("--draft-tokens goes with --prompt-lookup or --draft-model");
  }
  if (promptLookup)
    throw new UsageError("guesses come from --prompt-lookup or from --draft-model, not from both");
  const { loadModel } = await import("../run/model-folder.js");
  const { model } = await loadModel(draftModel, { ...(dtype && { dtype }), ...(device && { device }) });
  return { from: model, tokens };
}

function bias(text: string, earlier: ReadonlyMap<number, number> = new Map()): ReadonlyMap<number, number> {
  const [, id, value] = /^(\d+)=(.+)$/.exec(text) ?? [];
  const x = value === "-inf" ? Number.NEGATIVE_INFINITY : Number(value);
  if (id === undefined || Number.isNaN(x)) {
    throw new InvalidArgumentError("it must be a token and a number, as in 1234=-2.5 or 1234=-inf.");
  }
  return new Map([...earlier, [Number(id), x]]);
}
