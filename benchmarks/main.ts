import { readdirSync } from "node:fs";
import { fileURLToPath, pathToFileURL } from "node:url";
import { device } from "@openelm/tensor";
import { type Benchmark, type Measurement, toJson, toText } from "./lib/measure.js";
import { RESULTS } from "./lib/places.js";
import { peerVersions } from "./lib/python.js";
import { circumstances, save } from "./lib/results.js";
import { select } from "./lib/select.js";

const HELP = `npm run bench -- NAME… [--json] [--save] | --list

  NAME     a benchmark, or a folder of them
  --json   one JSON object a line
  --save   also write a file to benchmarks/results, with machine, versions and commit
  --list   the names of all

npm run bench:peers installs what ours is compared with.`;

const DIST = fileURLToPath(new URL(".", import.meta.url));
const ENDING = ".bench.js";
const OPTIONS = ["--json", "--save"];

const args = process.argv.slice(2);
const all = readdirSync(DIST, { recursive: true, encoding: "utf8" })
  .filter((file) => file.endsWith(ENDING))
  .map((file) => file.slice(0, -ENDING.length).replaceAll("\\", "/"))
  .sort();
const options = args.filter((arg) => arg.startsWith("-"));
const names = args.filter((arg) => !arg.startsWith("-"));
const { chosen, unknown } = select(all, names);

if (options.includes("--list")) {
  for (const name of all) console.log(name);
} else if (names.length === 0 || unknown.length > 0 || options.some((option) => !OPTIONS.includes(option))) {
  for (const name of unknown) console.error(`bench: no benchmark is called ${name}; --list names all`);
  console.error(HELP);
  process.exitCode = 2;
} else {
  await measure();
}

async function measure(): Promise<void> {
  const about = circumstances(device("cpu").stats().threads);
  const taken: Measurement[] = [];
  for (const name of chosen) {
    const file: { bench: Benchmark } = await import(pathToFileURL(`${DIST}${name}${ENDING}`).href);
    for await (const measurement of file.bench()) {
      console.log(options.includes("--json") ? toJson(measurement) : toText(measurement));
      taken.push(measurement);
    }
  }
  if (options.includes("--save")) {
    console.error(`saved ${save(RESULTS, { ...about, peers: await peerVersions() }, taken)}`);
  }
}
