//! The training of the quickstart, with looks at the model on the way.
import { openShards, PackedLoader } from "@openelm/data";
import { evaluate, type TrainConfig } from "@openelm/train";
import pc from "picocolors";
import type { Output } from "../cli/output.js";
import { oneLine, TrainingView } from "../cli/training-view.js";
import { type AssembledRun, answer, assemble } from "../run/assemble.js";
import { readProgress } from "../run/progress.js";
import { countedTargets, type PreparedCorpus } from "../run/text.js";
import type { Prompt } from "./prompts.js";
import type { Look } from "./state.js";

/** Shares of the training after which the model is looked at. */
const SHARES = [0, 0.25, 0.5, 1];

/** Rows of held-out text: longer ones than in training, so that few entries are cut. */
const HELD_OUT_ROWS = { sequenceLength: 512, batchSize: 4 };
/** Held-out batches of a look on the way; the last look takes all. */
const SOME_BATCHES = 16;

/** Likely words, but not the same ones over and over. */
const SAMPLING = { temperature: 0.5, topP: 0.9 };

export interface QuickstartRun {
  readonly config: TrainConfig;
  readonly folder: string;
  readonly corpus: PreparedCorpus;
  readonly prompts: readonly Prompt[];
  /** Looks of an earlier part of the run. */
  readonly looks: readonly Look[];
  /** Keeps the looks so far. */
  readonly onLook: (looks: readonly Look[]) => Promise<void>;
  readonly output: Output;
  readonly signal: AbortSignal;
}

/** Trains to the end. */
export async function trainQuickstart(run: QuickstartRun): Promise<AssembledRun> {
  const { config, folder, corpus, output, signal } = run;
  const before = await readProgress(folder);
  const assembled = await assemble(config, corpus, {
    folder,
    // A look does both.
    train: { evaluation: undefined, sample: undefined },
  });
  const looks = [...run.looks];
  const view = new TrainingView(output);
  const look = async (share: number, step: number): Promise<void> => {
    if (looks.some((earlier) => earlier.share === share)) return;
    const found = await lookAt(assembled, run, share, step);
    looks.push(found);
    output.emit({ type: "look", ...found });
    view.print(describeLook(found));
    await run.onLook(looks);
  };
  try {
    if (before === undefined) await look(0, 0);
    for await (const event of assembled.trainer.run({ signal })) {
      if (event.type === "done") continue;
      view.show(event);
      if (event.type !== "step") continue;
      // The trainer stands still meanwhile. It must not be left on an interrupt: it saves when it goes on.
      const due = SHARES.find(
        (share) =>
          share > 0 && share < 1 && (event.progress ?? 0) >= share && !looks.some((l) => l.share >= share),
      );
      if (due !== undefined && !signal.aborted) await look(due, event.step);
    }
    await look(1, assembled.trainer.step);
  } finally {
    view.end();
  }
  return assembled;
}

async function lookAt(
  { model, tokenizer }: AssembledRun,
  { corpus, prompts }: QuickstartRun,
  share: number,
  step: number,
): Promise<Look> {
  const { validation } = corpus.manifest;
  const shards = await openShards(corpus.shards, { split: "validation" });
  const rows = new PackedLoader(shards, { ...HELD_OUT_ROWS, shuffle: false, epochs: 1 });
  // An entry's end is predicted as well: it stands for the line's end, which compressors have to store too.
  const bytesPerToken = (validation.textBytes + validation.documents) / countedTargets(validation);
  const { loss, bitsPerByte } = await evaluate(model, share === 1 ? rows : some(rows), {
    bytesPerToken,
    ignoreIndex: -100,
  });
  const texts = prompts.map(({ text }) => text);
  const written = await answer(model, tokenizer, { prompts: texts, maxTokens: 48 }, SAMPLING);
  const answers = written.map((one, i) => ({ ...one, unseen: prompts[i]!.unseen }));
  return { share, step, loss, bitsPerByte: bitsPerByte!, answers };
}

async function* some<T>(rows: AsyncIterable<T>): AsyncGenerator<T> {
  let left = SOME_BATCHES;
  for await (const row of rows) {
    yield row;
    if (--left === 0) return;
  }
}

function describeLook({ share, bitsPerByte, answers }: Look): string {
  const title = `${pc.bold(`${Math.round(share * 100)}%`.padStart(5))}  ${bitsPerByte.toFixed(3)} bits per byte on held-out text`;
  const lines = answers.map(({ prompt, text, unseen }) => {
    const mark = unseen ? pc.dim(" (never seen)") : "";
    return `       ${pc.cyan(prompt)}${oneLine(text)}${mark}`;
  });
  return [title, ...lines].join("\n");
}
