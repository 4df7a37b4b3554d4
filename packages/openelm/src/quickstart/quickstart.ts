//! From nothing to a trained model, in stages that are told beforehand.
import { readdir, rm } from "node:fs/promises";
import { resolve } from "node:path";
import { createInterface } from "node:readline/promises";
import { UsageError } from "@openelm/native";
import { parseTrainConfig, type TrainConfig } from "@openelm/train";
import { bytes, whole } from "../cli/format.js";
import type { Output } from "../cli/output.js";
import { saveModel } from "../run/assemble.js";
import { readProgress } from "../run/progress.js";
import { smallConfig } from "../run/small-config.js";
import { corpusOf, type PreparedCorpus, tokenizerOf } from "../run/text.js";
import { makeCorpus, type QuickstartCorpus } from "./corpus.js";
import { writeReport } from "./report.js";
import { trainQuickstart } from "./run.js";
import { Stages } from "./stages.js";
import { type QuickstartState, readState, type Settings, sameSettings, writeState } from "./state.js";
import { commandsFor, describeSettings, tellCommands, tellFinished, tellPlan, tellResult } from "./tell.js";
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
export async function quickstart(options: QuickstartOptions): Promise<void> {
  const { settings, folder, yes, output } = options;
  const earlier = await earlierRun(settings, folder, yes, output);
  if (earlier?.finished) return tellFinished(earlier, folder, output);
  tellPlan(settings, folder, earlier !== undefined, output);
  const stages = new Stages(output);
  try {
    await new Quickstart(
      options,
      stages,
      earlier ?? { version: 1, settings, looks: [], finished: false },
    ).run();
  } finally {
    stages.stop();
  }
}

class Quickstart {
  readonly #options: QuickstartOptions;
  readonly #stages: Stages;
  #state: QuickstartState;

  constructor(options: QuickstartOptions, stages: Stages, state: QuickstartState) {
    this.#options = options;
    this.#stages = stages;
    this.#state = state;
  }

  async run(): Promise<void> {
    await this.#save({});
    const text = await this.#text();
    this.#options.signal.throwIfAborted();
    const { folder, settings } = this.#options;
    const { minutes, steps, seed } = settings;
    const bytes = text.bytes.length;
    const config = parseTrainConfig(smallConfig({ text: text.path, bytes, folder, minutes, steps, seed }));
    const corpus = await this.#corpus(config, text);
    await this.#train(config, corpus, text);
  }

  async #save(changes: Partial<QuickstartState>): Promise<void> {
    this.#state = { ...this.#state, ...changes };
    await writeState(this.#options.folder, this.#state);
  }

  async #text(): Promise<QuickstartCorpus> {
    const { settings, folder } = this.#options;
    this.#stages.begin(1, "text");
    const text = await makeCorpus(settings.text === undefined ? undefined : resolve(settings.text), folder);
    const { source, documents, unit } = text;
    const yardsticks = this.#state.yardsticks ?? (await yardsticksOf(text.bytes));
    await this.#save({ corpus: { source, bytes: text.bytes.length, documents }, yardsticks });
    const gzip = yardsticks[0]!.bitsPerByte.toFixed(3);
    this.#stages.end(
      `${whole(documents)} ${unit}, ${bytes(text.bytes.length)}; gzip -9 takes ${gzip} bits per byte`,
    );
    return text;
  }

  async #corpus(config: TrainConfig, { source, unit }: QuickstartCorpus): Promise<PreparedCorpus> {
    const { folder, signal } = this.#options;
    const context = { folder, signal, onProgress: this.#stages.onProgress };
    this.#stages.begin(2, "tokenizer");
    const tokenizer = await tokenizerOf(config, context);
    this.#stages.end(`byte-level BPE, ${whole(tokenizer.vocabSize)} tokens`);

    this.#stages.begin(3, "shards");
    const corpus = await corpusOf(config, context);
    const { train, validation } = corpus.manifest;
    if (validation.documents === 0 || train.documents === 0) {
      throw new UsageError(`${source} is too short: nothing of it could be held out; give a longer text`);
    }
    const perToken = (train.textBytes / train.tokens).toFixed(2);
    const heldOut = `${whole(validation.documents)} ${unit} held out`;
    this.#stages.end(`${whole(train.tokens)} tokens, ${perToken} bytes each; ${heldOut}`);
    return corpus;
  }

  async #train(config: TrainConfig, corpus: PreparedCorpus, text: QuickstartCorpus): Promise<void> {
    const { folder, output, signal } = this.#options;
    this.#stages.begin(4, "training");
    this.#stages.open();
    const prompts = await text.prompts(corpus);
    const onLook = (looks: QuickstartState["looks"]): Promise<void> => this.#save({ looks });
    const { looks } = this.#state;
    const assembled = await trainQuickstart({
      config,
      folder,
      corpus,
      prompts,
      looks,
      onLook,
      output,
      signal,
    });
    const parameters = whole(assembled.model.parameterCount());
    this.#stages.end(`${whole(assembled.trainer.step)} steps, ${parameters} parameters`);

    this.#stages.begin(5, "model");
    const model = await saveModel(assembled);
    const commands = commandsFor(folder, prompts[0]!.text);
    const report = await writeReport({ config, corpus, assembled, state: this.#state, commands });
    await this.#save({ finished: true });
    this.#stages.end(`${model} (Hugging Face form), ${report}`);
    const { yardsticks } = this.#state;
    output.emit({
      type: "done",
      model,
      report,
      bitsPerByte: this.#state.looks.at(-1)!.bitsPerByte,
      yardsticks,
    });
    output.say();
    tellResult(this.#state, output);
    tellCommands(commands, output);
  }
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
  const hasModel = state.looks.length > 0 || (await readProgress(folder)) !== undefined;
  const question = `${folder} holds a quickstart with other settings (${describeSettings(state.settings)}). Replace it?`;
  if (hasModel && !yes && !(await confirmed(question, output))) {
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
