//! A chat on the terminal, or line by line for a program.
import { writeFile } from "node:fs/promises";
import type { AnswerOptions, Conversation } from "@openelm/models";
import { FileError, isOpenELMError } from "@openelm/native";
import pc from "picocolors";
import { describePace, Stopwatch } from "../cli/generation-view.js";
import { Interrupted } from "../cli/interrupt.js";
import type { Output } from "../cli/output.js";
import { CHAT_HELP, parseChatLine } from "./commands.js";
import type { Lines } from "./lines.js";

/** What a chat is held with. */
export interface ChatSession {
  readonly conversation: Conversation;
  readonly lines: Lines;
  readonly output: Output;
  readonly options: AnswerOptions;
}

/** Answers lines until there are no more, or until Ctrl-C was pressed twice. */
export async function chat(session: ChatSession): Promise<void> {
  const { lines, output } = session;
  let interrupts = 0;
  while (interrupts < 2) {
    const input = await lines.next(pc.bold("> "));
    if ("end" in input) {
      if (input.end === "end") break;
      interrupts++;
      if (interrupts === 1) output.note(pc.dim("\nCtrl-C again leaves"));
      continue;
    }
    interrupts = 0;
    const command = parseChatLine(input.line);
    if (command === "unknown") output.note(`there is no such command\n${CHAT_HELP}`);
    else if (command?.name === "exit") break;
    else if (command !== undefined) await obey(session, command);
    else if (input.line.trim() !== "") {
      const wasStopped = await answer(session, input.line);
      if (wasStopped) interrupts = 1;
    }
  }
}

async function obey(
  { conversation, output }: ChatSession,
  command: Exclude<ReturnType<typeof parseChatLine>, "unknown" | undefined>,
): Promise<void> {
  switch (command.name) {
    case "help":
      output.note(CHAT_HELP);
      break;
    case "reset":
      conversation.reset();
      output.note(pc.dim("forgotten"));
      break;
    case "system":
      conversation.system = command.argument === "" ? undefined : command.argument;
      output.note(pc.dim(command.argument === "" ? "nothing is told before the first turn" : "told"));
      break;
    case "save":
      await save(conversation, command.argument);
      output.note(pc.dim(`saved to ${command.argument}`));
      break;
  }
}

/** Shows an answer as it is made; true if Ctrl-C stopped it. */
async function answer(
  { conversation, lines, output, options }: ChatSession,
  question: string,
): Promise<boolean> {
  const controller = new AbortController();
  const watch = new Stopwatch();
  let text = "";
  const make = async (): Promise<void> => {
    for await (const event of conversation.ask(question, { ...options, signal: controller.signal })) {
      watch.token(event.id);
      text += event.text;
      output.write(event.text);
      output.emit({ type: "token", ...event });
    }
  };
  try {
    await lines.during(make, () => controller.abort(new Interrupted()));
  } catch (error) {
    if (error instanceof Interrupted) {
      output.note(pc.dim("\nstopped; Ctrl-C again leaves"));
      output.emit({ type: "stopped", text });
      return true;
    }
    // A question that is too long is no reason to lose the conversation.
    if (!lines.interactive || !isOpenELMError(error, "USAGE")) throw error;
    output.note(pc.red((error as Error).message));
    return false;
  }
  const { forgotten } = conversation;
  output.say(text.endsWith("\n") ? "" : "\n");
  output.note(pc.dim(describePace(watch.pace)));
  if (forgotten > 0) output.note(pc.dim(`the first ${forgotten} turns did not fit the model's context`));
  output.emit({ type: "answer", text, forgotten, ...watch.pace });
  return false;
}

/** Writes a conversation as JSON. */
async function save({ system, messages }: Conversation, path: string): Promise<void> {
  try {
    await writeFile(path, `${JSON.stringify({ system, messages }, null, 2)}\n`);
  } catch (cause) {
    throw new FileError(`${path} cannot be written: ${(cause as Error).message}`, { path, cause });
  }
}
