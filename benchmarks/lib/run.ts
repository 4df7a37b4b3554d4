import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { device } from "@openelm/tensor";
import type { Benchmark, Line } from "./measure.js";

/** A benchmark with a number of threads. */
export interface Job {
  readonly name: string;
  readonly threads: number;
  readonly device?: string | undefined;
}

/**
 * The jobs that a benchmark asks for, once for each number of threads. What the user says goes before what it asks.
 *
 * @param asked - Numbers between commas.
 * @throws RangeError if those are no numbers of threads.
 */
export function jobsOf(name: string, { threads, device: place }: Benchmark, asked?: string): Job[] {
  const all = device("cpu").stats().threads;
  const own = threads === "one and all" && process.env.OPENELM_THREADS === undefined ? [1, all] : [all];
  const counts = asked?.split(",").map(Number) ?? own;
  if (counts.some((count) => !(Number.isInteger(count) && count >= 1))) {
    throw new RangeError(`--threads takes whole numbers between commas, got ${asked}`);
  }
  return Array.from(new Set(counts), (count) => ({ name, threads: count, device: place }));
}

/** What a job printed. */
export interface JobResult {
  readonly lines: readonly Line[];
  /** Versions of the peers that took part. */
  readonly peers: readonly string[];
  /** Whether it came to its end, and no peer failed. */
  readonly complete: boolean;
}

const MAIN = fileURLToPath(new URL("../main.js", import.meta.url));

/**
 * Runs a job in a process of its own, so that no benchmark meets the memory, the pool or the peers of another.
 *
 * @param each - Told of each line when it comes.
 */
export async function runJob(
  { name, threads, device: place }: Job,
  each: (line: Line) => void,
): Promise<JobResult> {
  const lines: Line[] = [];
  let peers: readonly string[] = [];
  const env = { OPENELM_THREADS: String(threads), ...(place && { OPENELM_DEVICE: place }) };
  const status = await readLines([MAIN, name, "--measure"], env, (text) => {
    const said = JSON.parse(text) as { line?: Line; peers?: string[] };
    if (said.line) {
      lines.push(said.line);
      each(said.line);
    }
    peers = said.peers ?? peers;
  });
  return { lines, peers, complete: status === 0 };
}

/** Runs a program of Node and gives its exit code; its errors go where ours go. */
export async function readLines(
  args: readonly string[],
  env: NodeJS.ProcessEnv,
  each: (line: string) => void,
): Promise<number> {
  const child = spawn(process.execPath, args, {
    stdio: ["ignore", "pipe", "inherit"],
    env: { ...process.env, ...env },
  });
  const end = (): boolean => child.kill();
  process.once("exit", end);
  const status = new Promise<number>((resolve) => child.once("exit", (code) => resolve(code ?? 1)));
  for await (const line of createInterface({ input: child.stdout })) each(line);
  const code = await status;
  process.off("exit", end);
  return code;
}
