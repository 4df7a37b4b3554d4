import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import type { GenerateEvent, GrammarConstraint, OpenELM, PromptCache } from "@openelm/models";
import { Command } from "commander";
import pc from "picocolors";
import {
  draftOf,
  type GenerationFlags,
  generationOptions,
  loadingOf,
  samplingOf,
} from "../cli/generation-options.js";
import { describePace, Stopwatch, showLogprobs } from "../cli/generation-view.js";
import { interruptible } from "../cli/interrupt.js";
import { examples, integer, repeated } from "../cli/options.js";
import { Output } from "../cli/output.js";
import type { LoadedModel } from "../run/model-folder.js";

interface GenerateFlags extends GenerationFlags {
  readonly prompt?: readonly string[];
  readonly logprobs?: number;
  readonly promptCache?: string;
  readonly jsonSchema?: string;
  readonly regex?: string;
  readonly json?: boolean;
}

/** `openelm generate`: continues prompts, and shows the text as it is made. */
export function generateCommand(): Command {
  const command = new Command("generate")
    .summary("continue a prompt with a model")
    .description("Continues a prompt. The text appears as it is made; of several prompts when all are done.")
    .requiredOption("-m, --model <folder>", "a model's folder, that of a run, or a model of the hub")
    .option(
      "-p, --prompt <text>",
      "what to continue (may be repeated); - reads the standard input",
      repeated,
    );
  return generationOptions(command, { maxTokens: 128 })
    .option("--logprobs <n>", "show how likely each token was, and the n likeliest ones", integer())
    .option("--prompt-cache <file>", "keep what was read in this file, and read on from it if it is there")
    .option("--json-schema <file>", "only text that is JSON of this schema")
    .option("--regex <pattern>", "only text that matches this regular expression as a whole")
    .option("--json", "a JSON object a token, then one with the whole text")
    .addHelpText(
      "after",
      examples(
        'openelm generate --model runs/quickstart --prompt "ocean (noun):"',
        "openelm generate -m model -p 'Once upon a time' -n 200 -t 0.7 --top-p 0.9 --seed 3",
        "openelm generate -m model -p 'The sea' --device cuda --dtype bf16",
        "openelm generate -m OpenELM-1_1B --adapter my-adapter -p 'The sea'",
        "openelm generate -m OpenELM-3B --draft-model OpenELM-270M -p 'The sea' -t 0",
        "openelm generate -m model -p 'One' -p 'Two' -p 'Three'",
        "openelm generate -m model -p - --prompt-lookup --prompt-cache manual.safetensors < manual.txt",
        "openelm generate -m model -p 'A city as JSON: ' --json-schema city.schema.json",
        "cat prompt.txt | openelm generate -m model -p - --json",
      ),
    )
    .action(run);
}

async function run(flags: GenerateFlags): Promise<void> {
  const { model: folder, prompt: given = [""] } = flags;
  const output = new Output({ json: flags.json });
  const { loadModel } = await import("../run/model-folder.js");
  const loaded = await loadModel(folder, loadingOf(flags));
  const prompts: string[] = [];
  for (const text of given) prompts.push(text === "-" ? await readInput() : text);
  await interruptible((signal) =>
    prompts.length === 1
      ? continueOne(loaded, prompts[0]!, flags, output, signal)
      : continueAll(loaded, prompts, flags, output, signal),
  );
}

async function continueOne(
  { model, tokenizer }: LoadedModel,
  prompt: string,
  flags: GenerateFlags,
  output: Output,
  signal: AbortSignal,
): Promise<void> {
  const { generate, savePromptCache } = await import("@openelm/models");
  const { logprobs, promptCache: file } = flags;
  using promptCache = file === undefined ? undefined : await openPromptCache(file, model);
  const draft = await draftOf(flags);
  using constraint = await constraintOf(flags, model, tokenizer);
  const generation = generate(model, prompt, {
    ...samplingOf(flags),
    ...{ tokenizer, signal, draft, logprobs, promptCache, constraint },
  });
  const watch = new Stopwatch();
  output.write(pc.dim(prompt));
  const events: GenerateEvent[] = [];
  // `result` hears of every event, so that counts and the reason of the end come from one place.
  const result = await generation.result((event) => {
    watch.token(event.id);
    events.push(event);
    output.write(event.text);
    output.emit({ type: "token", ...event });
  });
  const { pace } = watch;
  output.say();
  if (logprobs !== undefined)
    showLogprobs(output, events, (id) => spelled(tokenizer.idToToken(id) ?? String(id)));
  const { text, finishReason, usage } = result;
  output.emit({ type: "done", text, finishReason, usage, ...pace });
  output.note(pc.dim(describePace(pace, usage)));
  if (file !== undefined && promptCache !== undefined) await savePromptCache(file, promptCache, model);
}

/** A token as vocabularies spell it, with signs for spaces and ends of lines. */
const spelled = (token: string): string => token.replace(/[\u0120\u2581]/g, "␣").replace(/[\u010a\n]/g, "⏎");

async function openPromptCache(file: string, model: OpenELM): Promise<PromptCache> {
  const { loadPromptCache, PromptCache } = await import("@openelm/models");
  return existsSync(file) ? loadPromptCache(file, model) : PromptCache.empty(model);
}

async function constraintOf(
  { jsonSchema, regex }: GenerateFlags,
  { config }: OpenELM,
  tokenizer: LoadedModel["tokenizer"],
): Promise<GrammarConstraint | undefined> {
  if (jsonSchema === undefined && regex === undefined) return undefined;
  const [{ Grammars }, { UsageError }] = await Promise.all([
    import("@openelm/models"),
    import("@openelm/native"),
  ]);
  if (jsonSchema !== undefined && regex !== undefined) {
    throw new UsageError("text follows --json-schema or --regex, not both");
  }
  const { vocabSize, eosId } = config;
  const grammars = await Grammars.create({ tokenizer, vocabSize, stopIds: [eosId] });
  return regex === undefined ? grammars.jsonSchema(await readSchema(jsonSchema!)) : grammars.regex(regex);
}

/** @throws FormatError if the file holds no JSON. */
async function readSchema(path: string): Promise<object | boolean> {
  const { FileError, FormatError } = await import("@openelm/native");
  const text = await readFile(path, "utf8").catch((cause: Error) => {
    throw new FileError(`${path} cannot be read: ${cause.message}`, { path, cause });
  });
  try {
    return JSON.parse(text) as object | boolean;
  } catch (cause) {
    throw new FormatError(`${path}: ${(cause as Error).message}`, { path, cause });
  }
}

/** Options that are for one prompt. */
const ALONE = ["promptCache", "promptLookup", "draftModel", "draftTokens", "jsonSchema", "regex"] as const;

async function continueAll(
  { model, tokenizer }: LoadedModel,
  prompts: readonly string[],
  flags: GenerateFlags,
  output: Output,
  signal: AbortSignal,
): Promise<void> {
  const { UsageError } = await import("@openelm/native");
  const wrong = ALONE.find((name) => flags[name]);
  if (wrong !== undefined) {
    const option = wrong.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
    throw new UsageError(`--${option} is for one prompt, not for several`);
  }
  const { generateBatch } = await import("@openelm/models");
  const watch = new Stopwatch();
  const { logprobs } = flags;
  const results = await generateBatch(model, prompts, {
    ...samplingOf(flags),
    ...{ tokenizer, signal, logprobs },
  }).results((event) => {
    watch.token(event.id);
    output.emit({ type: "token", ...event });
  });
  const { pace } = watch;
  for (const [index, { text, finishReason, usage }] of results.entries()) {
    output.say(`${index > 0 ? "\n" : ""}${pc.dim(prompts[index]!)}${text}`);
    output.emit({ type: "text", index, text, finishReason, usage });
  }
  output.emit({ type: "done", ...pace });
  output.note(pc.dim(describePace(pace)));
}

async function readInput(): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of process.stdin) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString("utf8");
}
