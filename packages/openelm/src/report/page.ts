//! The report of a run: one HTML file that needs nothing else.
import type { LayerShape } from "@openelm/models";
import { whole } from "../cli/format.js";
import { lineChart, smoothed } from "./chart.js";
import { escapeHtml, htmlTable } from "./html.js";
import { layersPicture } from "./layers.js";
import { STYLE } from "./style.js";

/** One update, as the run's log has it. */
export interface StepRow {
  readonly step: number;
  readonly loss: number;
  readonly lr: number;
  readonly gradNorm: number;
  readonly tokensPerSecond: number;
}

/** A look at the held-out text. */
export interface EvaluationRow {
  readonly step: number;
  readonly loss: number;
  readonly bitsPerByte: number;
}

/** What the model wrote at one time of the run. */
export interface SampleRow {
  readonly share: number;
  readonly step: number;
  readonly answers: readonly { readonly prompt: string; readonly text: string; readonly unseen: boolean }[];
}

export interface ReportData {
  readonly title: string;
  /** A sentence below the title. */
  readonly summary: string;
  readonly steps: readonly StepRow[];
  readonly evaluations: readonly EvaluationRow[];
  readonly samples: readonly SampleRow[];
  /** Other programs' bits per byte on the text. */
  readonly yardsticks: readonly {
    readonly name: string;
    readonly bitsPerByte: number;
    readonly note?: string;
  }[];
  readonly layers: readonly LayerShape[];
  /** Groups of facts: model, text, training, machine. */
  readonly facts: readonly {
    readonly title: string;
    readonly rows: readonly (readonly [string, string])[];
  }[];
  /** Commands to go on with. */
  readonly commands: readonly { readonly what: string; readonly command: string }[];
}

/** The whole page. */
export function reportPage(data: ReportData): string {
  const { title, summary, evaluations, samples, layers, facts, commands } = data;
  const sections = [
    `<h1>${escapeHtml(title)}</h1><p>${escapeHtml(summary)}</p>`,
    evaluations.length > 0 ? `<h2>Held-out text, bits per byte</h2>${yardsticks(data)}` : "",
    `<h2>Training</h2><div class="charts">${charts(data).join("")}</div>`,
    samples.length > 0 ? `<h2>What it writes</h2>${answers(samples)}` : "",
    `<h2>Layer-wise scaling</h2><p>Layers grow from first to last, in heads and in width.</p>${layersPicture(layers)}`,
    `<h2>Configuration</h2><div class="facts">${facts
      .map(
        ({ title, rows }) =>
          `<section><h3>${escapeHtml(title)}</h3>${htmlTable(
            [],
            rows.map((row) => row.map(escapeHtml)),
          )}</section>`,
      )
      .join("")}</div>`,
    `<h2>Go on</h2>${htmlTable(
      [],
      commands.map(({ what, command }) => [escapeHtml(what), `<code>${escapeHtml(command)}</code>`]),
    )}`,
  ];
  return (
    `<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<meta name="viewport" content="width=device-width">\n` +
    `<title>${escapeHtml(title)}</title>\n<style>${STYLE}</style>\n</head>\n<body>\n<main>\n${sections.filter(Boolean).join("\n")}\n</main>\n</body>\n</html>\n`
  );
}

function charts({ steps, evaluations }: ReportData): string[] {
  const over = (pick: (row: StepRow) => number): [number, number][] =>
    steps.map((row) => [row.step, pick(row)]);
  const loss = over((row) => row.loss);
  const norms = over((row) => row.gradNorm);
  return [
    lineChart({
      title: "Loss, nats per token",
      xLabel: "step",
      series: [
        { name: "each step", points: loss, faint: true },
        { name: "smoothed", points: smoothed(loss) },
        { name: "held out", points: evaluations.map(({ step, loss }) => [step, loss]), dots: true },
      ],
    }),
    lineChart({
      title: "Learning rate",
      xLabel: "step",
      fromZero: true,
      series: [{ name: "lr", points: over((row) => row.lr) }],
    }),
    lineChart({
      title: "Tokens per second",
      xLabel: "step",
      fromZero: true,
      series: [{ name: "tokens/s", points: over((row) => row.tokensPerSecond).filter(([, y]) => y > 0) }],
    }),
    lineChart({
      title: "Gradient norm before clipping",
      xLabel: "step",
      log: true,
      series: [
        { name: "each step", points: norms, faint: true },
        { name: "smoothed", points: smoothed(norms) },
      ],
    }),
  ];
}

/** Bars of bits per byte, the model's first. */
function yardsticks({ evaluations, yardsticks }: ReportData): string {
  const own = evaluations.at(-1)!;
  const rows = [
    { name: "this model, on text it has not seen", bitsPerByte: own.bitsPerByte, note: `step ${own.step}` },
    ...yardsticks,
  ];
  const most = Math.max(...rows.map(({ bitsPerByte }) => bitsPerByte));
  const bars = rows.map(({ name, bitsPerByte, note = "" }, i) => [
    escapeHtml(name),
    `<div class="bar${i === 0 ? " own" : ""}" style="width:${((bitsPerByte / most) * 100).toFixed(1)}%"></div>`,
    `<b>${bitsPerByte.toFixed(3)}</b>`,
    escapeHtml(note),
  ]);
  return `<div class="bars">${htmlTable([], bars)}</div>`;
}

function answers(samples: readonly SampleRow[]): string {
  const prompts = samples[0]!.answers.map(
    ({ prompt, unseen }) =>
      `${escapeHtml(prompt)}${unseen ? "<br><small>never seen in training</small>" : ""}`,
  );
  const rows = samples.map(({ share, step, answers }) => [
    `<b>${Math.round(share * 100)}%</b><br><small>step ${whole(step)}</small>`,
    ...prompts.map((_, i) => escapeHtml(answers[i]?.text ?? "")),
  ]);
  return `<div class="answers">${htmlTable(["", ...prompts], rows)}</div>`;
}
