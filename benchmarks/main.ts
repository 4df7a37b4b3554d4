import { readdirSync } from "node:fs";
import { fileURLToPath, pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { device } from "@openelm/tensor";
import { against } from "./lib/against.js";
import { type Benchmark, type Line, toLine, toText } from "./lib/measure.js";
import { closePeers, failures, peerVersions } from "./lib/peers.js";
import { RESULTS } from "./lib/places.js";
import { circumstances, save } from "./lib/results.js";
import { type Job, jobsOf, runJob } from "./lib/run.js";
import { select } from "./lib/select.js";

const HELP = `npm run bench -- NAME… [options]

  NAME            a benchmark, or a folder of them
  --list          the names of all
  --json          one JSON object a line instead of text
  --save          also write a file to benchmarks/results, with machine, versions and commit
  --threads N,M   run each with N threads, then with M. Default: what OPENELM_THREADS says; without it one and all
                  where a benchmark asks for both, else all
  --device NAME   where ours and PyTorch compute: cpu, cuda, … Default: cpu; those of the folder cuda choose a GPU themselves
  --alone         without peers
  --compare REV   build another revision and run both in turns; prints old, new and new / old
  --rounds N      turns of --compare. Default: 3

Examples:
  npm run bench -- matmul                      products of all sizes beside those of the libraries
  npm run bench -- ops/softmax ops/gelu --threads 1
  npm run bench -- cuda/train --save
  npm run bench -- train --save && npm run docs:performance
  npm run bench -- ops --compare main          what a change did to the ops

npm run bench:peers installs what ours is compared with.`;

const DIST = fileURLToPath(new URL(".", import.meta.url));
const ENDING = ".bench.js";

const all = readdirSync(DIST, { recursive: true, encoding: "utf8" })
  .filter((file) => file.endsWith(ENDING))
  .map((file) => file.slice(0, -ENDING.length).replaceAll("\\", "/"))
  .sort();

// A run that is told to end takes the programs with it that it started: they go when this process exits.
for (const [signal, number] of [
  ["SIGINT", 2],
  ["SIGTERM", 15],
] as const) {
  process.once(signal, () => process.exit(128 + number));
}

try {
  process.exitCode = await main();
} catch (error) {
  if (!(error instanceof RangeError)) throw error;
  console.error(`bench: ${error.message}`);
  process.exitCode = 2;
}

async function main(): Promise<number> {
  const parsed = parse();
  if (typeof parsed === "string") {
    console.error(`bench: ${parsed}\n${HELP}`);
    return 2;
  }
  const { values: options, positionals: names } = parsed;
  if (options.help) {
    console.log(HELP);
    return 0;
  }
  if (options.list) {
    for (const name of all) console.log(name);
    return 0;
  }
  const { chosen, unknown } = select(all, names);
  if (chosen.length === 0 || unknown.length > 0) {
    for (const name of unknown) console.error(`bench: no benchmark is called ${name}; --list names all`);
    if (names.length === 0) console.error(HELP);
    return 2;
  }
  if (options.measure) return measure(chosen[0]!);
  if (options.alone || options.against !== undefined) process.env.OPENELM_BENCH_ALONE = "1";
  if (options.device !== undefined) process.env.OPENELM_DEVICE = options.device;
  const jobs: Job[] = [];
  for (const name of chosen) jobs.push(...jobsOf(name, await load(name), options.threads));
  if (options.against !== undefined) return against(options.against, jobs, Number(options.rounds ?? 3));
  return report(jobs, options.json ? JSON.stringify : toText, options.save ?? false);
}

/** The options, or what is wrong with them. */
function parse() {
  const flag = { type: "boolean" } as const;
  const text = { type: "string" } as const;
  try {
    return parseArgs({
      allowPositionals: true,
      options: {
        ...{ help: flag, list: flag, json: flag, save: flag, threads: text, alone: flag, device: text },
        // A folder with another revision that is built; `npm run bench` makes it for --compare.
        ...{ against: text, rounds: text },
        // One benchmark in this process, which prints lines for the process that started it.
        measure: flag,
      },
    });
  } catch (error) {
    return (error as Error).message;
  }
}

function load(name: string): Promise<Benchmark> {
  return import(pathToFileURL(`${DIST}${name}${ENDING}`).href);
}

/** Runs the jobs one by one, each in a process of its own, and prints what they measure. */
async function report(jobs: readonly Job[], show: (line: Line) => string, keep: boolean): Promise<number> {
  const about = circumstances(device("cpu").stats().threads);
  const { cores, load: busy } = about.machine;
  if (busy > cores / 4)
    console.error(`bench: the machine is busy (load ${busy.toFixed(1)}); ratios will mislead`);
  const lines: Line[] = [];
  const peers = new Set<string>();
  let failed = 0;
  for (const [i, job] of jobs.entries()) {
    console.error(`[${i + 1}/${jobs.length}] ${job.name}, threads: ${job.threads}`);
    const result = await runJob(job, (line) => {
      lines.push(line);
      console.log(show(line));
    });
    for (const peer of result.peers) peers.add(peer);
    if (!result.complete) failed++;
  }
  if (keep && lines.length > 0) {
    console.error(`saved ${save(RESULTS, { ...about, peers: [...peers].sort() }, lines)}`);
  }
  if (failed > 0) console.error(`bench: ${failed} of ${jobs.length} did not end well; see above`);
  return failed > 0 ? 1 : 0;
}

/** Runs a benchmark here. A peer that fails does not stop it, but is not passed over in silence either. */
async function measure(name: string): Promise<number> {
  const { threads } = device("cpu").stats();
  try {
    for await (const measurement of (await load(name)).bench()) {
      console.log(JSON.stringify({ line: toLine(measurement, name, threads) }));
    }
    console.log(JSON.stringify({ peers: await peerVersions() }));
  } finally {
    await closePeers();
  }
  return failures.length > 0 ? 1 : 0;
}
