//! Gathers what the report of a quickstart shows.
import { readFile } from "node:fs/promises";
import { availableParallelism, cpus } from "node:os";
import { join } from "node:path";
import { nativeInfo } from "@openelm/native";
import { devices } from "@openelm/tensor";
import { type TrainConfig, writeFileDurably } from "@openelm/train";
import { bytes, duration, whole } from "../cli/format.js";
import { type ReportData, reportPage, type StepRow } from "../report/page.js";
import type { AssembledRun } from "../run/assemble.js";
import type { PreparedCorpus } from "../run/text.js";
import type { QuickstartState } from "./state.js";

export interface ReportSource {
  readonly config: TrainConfig;
  readonly corpus: PreparedCorpus;
  readonly assembled: AssembledRun;
  readonly state: QuickstartState;
  readonly commands: ReportData["commands"];
}

/** Writes `report.html` into the run's folder. */
export async function writeReport(source: ReportSource): Promise<string> {
  const { folder } = source.assembled;
  const steps = await readSteps(folder);
  const path = join(folder, "report.html");
  await writeFileDurably(path, reportPage({ ...describe(source, steps), steps: steps.rows }));
  return path;
}

interface Steps {
  readonly rows: readonly StepRow[];
  readonly tokens: number;
  readonly elapsed: number;
}

/** The logs of the run: what was computed and what the clock said, joined by step. */
async function readSteps(folder: string): Promise<Steps> {
  const lines = async (name: string): Promise<Record<string, number>[]> => {
    const text = await readFile(join(folder, name), "utf8");
    return text
      .split("\n")
      .filter(Boolean)
      .map((line) => JSON.parse(line) as Record<string, number>);
  };
  const speed = new Map((await lines("speed.jsonl")).map((line) => [line.step, line]));
  const metrics = (await lines("metrics.jsonl")).filter((line) => (line.type as unknown) === "step");
  const rows = metrics.map(({ step, loss, lr, gradNorm }) => ({
    step: step!,
    // JSON has no NaN: a step that was not finite has null.
    loss: loss ?? Number.NaN,
    lr: lr!,
    gradNorm: gradNorm ?? Number.NaN,
    tokensPerSecond: speed.get(step!)?.tokensPerSecond ?? 0,
  }));
  return {
    rows,
    tokens: metrics.at(-1)?.tokens ?? 0,
    elapsed: speed.get(metrics.at(-1)?.step)?.elapsed ?? 0,
  };
}

function describe(source: ReportSource, { rows, tokens, elapsed }: Steps): Omit<ReportData, "steps"> {
  const { config, corpus, assembled, state, commands } = source;
  const { model } = assembled;
  const { manifest, tokenizer } = corpus;
  const { layers, modelDim, headDim, layerShapes } = model.config;
  const parameters = model.parameterCount();
  const core = nativeInfo();
  const { optim, schedule, batch } = config;
  return {
    title: "OpenELM quickstart",
    summary: `${whole(parameters)} parameters, ${whole(rows.length)} steps, ${whole(tokens)} tokens in ${duration(elapsed)} minutes on ${devices()[0]!.stats().threads} threads.`,
    evaluations: state.looks.map(({ step, loss, bitsPerByte }) => ({ step, loss, bitsPerByte })),
    samples: state.looks,
    yardsticks: (state.yardsticks ?? []).map(({ name, bitsPerByte, note }) => ({
      name,
      bitsPerByte,
      note: `${note}, whole text`,
    })),
    layers: layerShapes,
    commands,
    facts: [
      {
        title: "Model",
        rows: [
          ["parameters", whole(parameters)],
          ["layers × width", `${layers} × ${modelDim}`],
          ["head width", String(headDim)],
          ["attention, first to last", JSON.stringify(model.config.attention)],
          ["feed-forward, first to last", JSON.stringify(model.config.feedForward)],
          ["vocabulary", whole(model.config.vocabSize)],
        ],
      },
      {
        title: "Text",
        rows: [
          ["source", state.corpus?.source ?? ""],
          ["size", `${bytes(state.corpus?.bytes ?? 0)}, ${whole(state.corpus?.documents ?? 0)} documents`],
          [
            "trained on",
            `${whole(manifest.train.documents)} documents, ${whole(manifest.train.tokens)} tokens`,
          ],
          ["held out", `${whole(manifest.validation.documents)} documents, by a hash of each`],
          ["bytes a token", (manifest.train.textBytes / manifest.train.tokens).toFixed(2)],
          ["tokenizer", `byte-level BPE, ${tokenizer.sha256.slice(0, 12)}`],
        ],
      },
      {
        title: "Training",
        rows: [
          ["optimizer", `${optim.kind}, lr ${optim.lr}, weight decay ${optim.weightDecay}`],
          ["schedule", `${schedule.kind}, warmup ${schedule.warmup} steps`],
          ["clip", String(optim.clip)],
          ["batch", `${batch.sequences} × ${batch.sequenceLength} tokens`],
          ["precision", config.precision],
          ["seed", String(config.seed)],
        ],
      },
      {
        title: "Machine",
        rows: [
          ["processor", `${cpus()[0]?.model.trim() ?? process.arch}, ${availableParallelism()} threads`],
          ["vector units", core.simd],
          ["core", core.version],
          ["Node.js", process.version],
        ],
      },
    ],
  };
}
