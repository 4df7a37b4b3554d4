//! Runs the command as its user does: the built one, in a process and a folder of its own.
import { spawn } from "node:child_process";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const BIN = fileURLToPath(new URL("../bin/openelm.js", import.meta.url));

export interface Result {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
  /** The standard output as JSON, a value a line. */
  readonly events: readonly Record<string, unknown>[];
}

export interface RunOptions {
  readonly cwd?: string;
  readonly env?: NodeJS.ProcessEnv;
  /** What it reads from its standard input. Default: nothing. */
  readonly input?: string;
  /** Called with all standard output so far; what it returns is sent as a signal. */
  readonly onOutput?: (stdout: string) => NodeJS.Signals | undefined;
}

/** A new empty folder. */
export const temporary = (): string => mkdtempSync(join(tmpdir(), "openelm-cli-"));

export async function openelm(
  args: readonly string[],
  { cwd = temporary(), env = {}, input, onOutput }: RunOptions = {},
): Promise<Result> {
  const child = spawn(process.execPath, [BIN, ...args], {
    cwd,
    env: { ...process.env, OPENELM_THREADS: "2", NO_COLOR: "1", CI: "true", ...env },
    stdio: [input === undefined ? "ignore" : "pipe", "pipe", "pipe"],
  });
  child.stdin?.end(input);
  let [stdout, stderr] = ["", ""];
  child.stdout!.setEncoding("utf8").on("data", (text: string) => {
    stdout += text;
    const signal = onOutput?.(stdout);
    if (signal) child.kill(signal);
  });
  child.stderr!.setEncoding("utf8").on("data", (text: string) => {
    stderr += text;
  });
  const code = await new Promise<number | null>((resolve, reject) =>
    child.on("error", reject).on("close", resolve),
  );
  const lines = stdout.split("\n").filter((line) => line.startsWith("{"));
  return {
    code,
    stdout,
    stderr,
    get events() {
      return lines.map((line) => JSON.parse(line) as Record<string, unknown>);
    },
  };
}
