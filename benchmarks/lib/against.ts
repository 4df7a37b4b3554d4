import { existsSync } from "node:fs";
import path from "node:path";
import { type Job, readLines, runJob } from "./run.js";
import { median } from "./turns.js";

/** Speeds of one measurement in the rounds of both revisions. */
export interface Pair {
  readonly unit: string;
  readonly faster: "larger" | "smaller";
  readonly old: number[];
  readonly new: number[];
}

/**
 * Runs jobs of another revision and of this one in turns, old and new each going first in every second round, and
 * prints medians. Peers do not take part.
 *
 * @param folder - Top of the other revision, built.
 */
export async function against(folder: string, jobs: readonly Job[], rounds: number): Promise<number> {
  const other = path.join(folder, "benchmarks/dist/main.js");
  if (!existsSync(other)) throw new Error(`${folder} has no benchmarks that are built`);
  let failed = 0;
  for (const [i, job] of jobs.entries()) {
    const pairs = new Map<string, Pair>();
    const turns = [
      async () => {
        const { lines } = await runJob(job, () => undefined);
        for (const { name, unit, faster, ours } of lines) pairOf(pairs, name, unit, faster).new.push(ours);
      },
      async () => {
        await readLines([other, job.name, "--json"], aloneWith(job.threads), (text) => {
          const { name, ours } = JSON.parse(text) as { name: string; ours: number };
          pairOf(pairs, name, "", "larger").old.push(ours);
        });
      },
    ] as const;
    for (let round = 0; round < rounds; round++) {
      console.error(
        `[${i + 1}/${jobs.length}] ${job.name}, threads: ${job.threads}, round ${round + 1} of ${rounds}`,
      );
      await turns[round % 2]!();
      await turns[1 - (round % 2)]!();
    }
    for (const [name, pair] of pairs) console.log(pairText(name, job.threads, pair));
    if (pairs.size === 0) failed++;
  }
  return failed > 0 ? 1 : 0;
}

/** Revisions have named what keeps their peers away in two ways. */
const aloneWith = (threads: number): NodeJS.ProcessEnv => ({
  OPENELM_THREADS: String(threads),
  OPENELM_BENCH_ALONE: "1",
  OPENELM_BENCH_PYTHON: "false",
});

/** The pair of a name; what the newer revision says of unit and direction stands. */
function pairOf(pairs: Map<string, Pair>, name: string, unit: string, faster: Pair["faster"]): Pair {
  const found = pairs.get(name);
  const pair = {
    old: found?.old ?? [],
    new: found?.new ?? [],
    unit: unit || (found?.unit ?? ""),
    faster: unit ? faster : (found?.faster ?? faster),
  };
  pairs.set(name, pair);
  return pair;
}

/** The line of a pair: both medians, and how much faster the new one is. A name that one of them lacks says so. */
export function pairText(name: string, threads: number, pair: Pair): string {
  const { unit, faster } = pair;
  const [before, now] = [pair.old, pair.new].map((values) =>
    values.length === 0 ? undefined : median(values),
  );
  const show = (value: number | undefined): string =>
    value === undefined ? "missing" : `${Number(value.toPrecision(4))} ${unit}`.trimEnd();
  const head = `${name.padEnd(44)} ${threads}t  old ${show(before)}  new ${show(now)}`;
  if (before === undefined || now === undefined) return head;
  const speedup = faster === "larger" ? now / before : before / now;
  return `${head}  ${speedup.toFixed(2)}× as fast`;
}
