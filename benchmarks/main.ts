import { readdirSync } from "node:fs";
import { fileURLToPath, pathToFileURL } from "node:url";
import { type Benchmark, toJson, toText } from "./lib/measure.js";
import { select } from "./lib/select.js";

const HELP = `npm run bench -- NAME… [--json] | --list

  NAME     a benchmark, or a folder of them
  --json   one JSON object a line
  --list   the names of all`;

const DIST = fileURLToPath(new URL(".", import.meta.url));
const ENDING = ".bench.js";

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
} else if (names.length === 0 || unknown.length > 0 || options.some((option) => option !== "--json")) {
  for (const name of unknown) console.error(`bench: no benchmark is called ${name}; --list names all`);
  console.error(HELP);
  process.exitCode = 2;
} else {
  for (const name of chosen) {
    const file: { bench: Benchmark } = await import(pathToFileURL(`${DIST}${name}${ENDING}`).href);
    for await (const measurement of file.bench()) {
      console.log(options.includes("--json") ? toJson(measurement) : toText(measurement));
    }
  }
}
