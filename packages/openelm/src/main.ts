//! The command line: `main` gives the exit code and throws nothing.
import { Command, CommanderError } from "commander";
import pc from "picocolors";
import { describeError } from "./cli/errors.js";
import { INTERRUPTED_CODE } from "./cli/interrupt.js";
import { benchCommand } from "./commands/bench.js";
import { chatCommand } from "./commands/chat.js";
import { convertCommand } from "./commands/convert.js";
import { dataCommand } from "./commands/data.js";
import { describeCommand } from "./commands/describe.js";
import { doctorCommand } from "./commands/doctor.js";
import { generateCommand } from "./commands/generate.js";
import { perplexityCommand } from "./commands/perplexity.js";
import { quantizeCommand } from "./commands/quantize.js";
import { quickstartCommand } from "./commands/quickstart.js";
import { tokenizerCommand } from "./commands/tokenizer.js";
import { trainCommand } from "./commands/train.js";
import { tuneCommand } from "./commands/tune.js";
import { VERSION } from "./version.js";

/** The exit code of a call that is wrong in itself. */
const USAGE_CODE = 2;

const COMMANDS = [
  quickstartCommand,
  trainCommand,
  generateCommand,
  chatCommand,
  tokenizerCommand,
  dataCommand,
  convertCommand,
  quantizeCommand,
  perplexityCommand,
  describeCommand,
  benchCommand,
  tuneCommand,
  doctorCommand,
];

/** The whole command line, as yet without arguments. */
export function program(): Command {
  const top = new Command("openelm")
    .description("Train, tune and run OpenELM language models.")
    .version(VERSION, "-V, --version", "print the version")
    .option("--debug", "show where an error comes from")
    .helpOption("-h, --help", "print this help")
    .addHelpText("after", "\nopenelm COMMAND --help shows the options and examples of a command.");
  for (const command of COMMANDS) top.addCommand(command());
  everywhere(top, (command) => {
    command
      .exitOverride()
      .helpCommand(false)
      .showHelpAfterError(`(${pathOf(command)} --help shows what there is)`);
    if (command !== top)
      command.helpOption("-h, --help", "print this help").configureHelp({
        showGlobalOptions: true,
        commandDescription: (of) => paragraphs(of.description()),
      });
  });
  return top;
}

/** Text whose paragraphs are lines, for a terminal of any width; lines that are indented stay as they are. */
const paragraphs = (text: string): string => text.replace(/(?<=\S)\n(?=\S)/g, " ");

/**
 * Runs the command line and gives its exit code.
 *
 * @param args - Without the program and the script.
 */
export async function main(args: readonly string[]): Promise<number> {
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    // A reader that has enough, such as head, is no error.
    if (error.code === "EPIPE") process.exit(0);
  });
  try {
    await program().parseAsync(args, { from: "user" });
    return process.exitCode === undefined ? 0 : Number(process.exitCode);
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : USAGE_CODE;
    const { message, code, exitCode } = describeError(error);
    if (args.includes("--json"))
      process.stdout.write(`${JSON.stringify({ type: "error", code, message })}\n`);
    if (exitCode === INTERRUPTED_CODE) process.stderr.write(`${message}\n`);
    else if (args.includes("--debug") && error instanceof Error) process.stderr.write(`${error.stack}\n`);
    else process.stderr.write(`${pc.red("error")} ${message}\n`);
    return exitCode;
  }
}

function everywhere(command: Command, visit: (command: Command) => void): void {
  visit(command);
  for (const child of command.commands) everywhere(child, visit);
}

const pathOf = (command: Command): string =>
  command.parent ? `${pathOf(command.parent)} ${command.name()}` : command.name();
