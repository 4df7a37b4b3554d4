//! Lines of a chat that are for the command and not for the model.

/** What such a line asks for. */
export type ChatCommand =
  | { readonly name: "reset" | "help" | "exit" }
  | { readonly name: "system" | "save"; readonly argument: string };

const HELP = [
  ["/reset", "begin anew"],
  ["/system [text]", "tell the model something before the first turn; nothing without a text"],
  ["/save [file]", "write the conversation to a JSON file (conversation.json)"],
  ["/help", "this list"],
  ["/exit", "leave, as Ctrl-D and Ctrl-C twice do"],
] as const;

/** The list of commands, for a person. */
export const CHAT_HELP = HELP.map(([name, what]) => `${name.padEnd(16)}${what}`).join("\n");

/**
 * The command of a line; undefined where it is a message, `"unknown"` where it begins like a command and is none.
 */
export function parseChatLine(line: string): ChatCommand | "unknown" | undefined {
  const [, word, rest = ""] = /^\/(\S*)(?:\s+(.*))?$/s.exec(line.trim()) ?? [];
  if (word === undefined) return undefined;
  const argument = rest.trim();
  if (word === "system") return { name: word, argument };
  if (word === "save") return { name: word, argument: argument === "" ? "conversation.json" : argument };
  if (word === "reset" || word === "help" || word === "exit") return { name: word };
  return "unknown";
}
