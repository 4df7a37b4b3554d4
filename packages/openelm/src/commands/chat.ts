import { readFile } from "node:fs/promises";
import type { Message } from "@openelm/models";
import { FileError, FormatError } from "@openelm/native";
import { Command } from "commander";
import pc from "picocolors";
import {
  draftOf,
  type GenerationFlags,
  generationOptions,
  loadingOf,
  samplingOf,
} from "../cli/generation-options.js";
import { examples } from "../cli/options.js";
import { Output } from "../cli/output.js";

interface ChatFlags extends GenerationFlags {
  readonly system?: string;
  readonly conversation?: string;
  readonly json?: boolean;
}

/** `openelm chat`: a conversation with a model. */
export function chatCommand(): Command {
  const command = new Command("chat")
    .summary("talk with a model")
    .description(
      "Talks with a model, by the chat template of its folder or that of OpenELM's instruct models.\n" +
        "/help lists what can be said beside messages. Ctrl-C stops an answer; twice leaves.\n" +
        "Without a terminal each line of the standard input is a message.",
    )
    .requiredOption("-m, --model <folder>", "a model's folder, that of a run, or a model of the hub")
    .option("--system <text>", "what the model is told before the first turn");
  return generationOptions(command, { maxTokens: 512 })
    .option("--conversation <file>", "go on with a conversation that /save wrote")
    .option("--json", "a JSON object a token, then one an answer")
    .addHelpText(
      "after",
      examples(
        "openelm chat --model OpenELM-1_1B-Instruct",
        "openelm chat -m OpenELM-270M-Instruct --system 'Answer in one sentence.' -t 0.7 --top-p 0.9",
        "openelm chat -m OpenELM-3B-Instruct --device cuda --dtype bf16 --prompt-lookup",
        "openelm chat -m OpenELM-270M-Instruct --conversation conversation.json",
        "echo 'What is an ocean?' | openelm chat -m OpenELM-270M-Instruct --json",
      ),
    )
    .action(run);
}

async function run(flags: ChatFlags): Promise<void> {
  const { model: folder, conversation: file } = flags;
  const output = new Output({ json: flags.json });
  const earlier = file === undefined ? undefined : await readConversation(file);
  const { ChatTemplate, Conversation } = await import("@openelm/models");
  const { findModelFolder, loadModel } = await import("../run/model-folder.js");
  const { model, tokenizer } = await loadModel(folder, loadingOf(flags));
  const text = (id: number | undefined): string | undefined =>
    id === undefined ? undefined : tokenizer.idToToken(id);
  const template = await ChatTemplate.load(await findModelFolder(folder), {
    bos: text(tokenizer.bosId),
    eos: text(tokenizer.eosId),
  });
  const draft = await draftOf(flags);
  const { Lines } = await import("../chat/lines.js");
  const { chat } = await import("../chat/session.js");
  const system = flags.system ?? earlier?.system;
  const messages = earlier?.messages;
  using conversation = new Conversation(model, { tokenizer, template, system, messages });
  using lines = new Lines();
  if (lines.interactive) {
    output.note(pc.dim("/help lists what can be said beside messages; Ctrl-D leaves"));
    if (messages !== undefined) output.note(pc.dim(`goes on after ${messages.length} turns`));
  }
  await chat({ conversation, lines, output, options: { ...samplingOf(flags), draft } });
}

interface SavedConversation {
  readonly system?: string;
  readonly messages: readonly Message[];
}

/** @throws FormatError if the file holds no conversation. */
async function readConversation(path: string): Promise<SavedConversation> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (cause) {
    throw new FileError(`${path} cannot be read: ${(cause as Error).message}`, { path, cause });
  }
  const isText = (value: unknown): boolean => typeof value === "string";
  try {
    const value = JSON.parse(text) as Partial<SavedConversation> | null;
    const isRight =
      (value?.system === undefined || isText(value.system)) &&
      Array.isArray(value?.messages) &&
      value.messages.every((turn: Partial<Message> | null) => isText(turn?.role) && isText(turn?.content));
    if (isRight) return value as SavedConversation;
  } catch (cause) {
    throw new FormatError(`${path}: ${(cause as Error).message}`, { path, cause });
  }
  throw new FormatError(`${path} holds no conversation: messages must be a list of { role, content }`, {
    path,
  });
}
