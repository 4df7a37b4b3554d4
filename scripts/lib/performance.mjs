// The page that benchmarks/results become: docs/performance.md.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import path from "node:path";

/**
 * @typedef {object} Line - As `benchmarks/lib/measure.ts` has it.
 * @property {string} benchmark
 * @property {string} name
 * @property {number} threads
 * @property {string} unit
 * @property {"larger" | "smaller"} faster
 * @property {number} ours
 * @property {Record<string, number | null>} peers
 * @property {number | null} limit
 * @property {number | null} ratio
 */

/**
 * @typedef {object} Results - As `benchmarks/lib/results.ts` has it.
 * @property {string} date
 * @property {string | null} commit
 * @property {boolean} changed
 * @property {{ cpu: string, features?: string[], cores: number, memoryGB: number, gpus?: string[], system: string, load: number }} machine
 * @property {Record<string, string>} versions
 * @property {string[]} peers
 * @property {Line[]} measurements
 */

/** Where the page is, from the top of the repository. */
export const PAGE = "docs/performance.md";
const RESULTS = "benchmarks/results";

const HEAD = `# Performance

Written by \`npm run docs:performance\` from the newest files of \`${RESULTS}\`; do not edit. \`npm run bench -- NAME --save\`
measures, and benchmarks/README.md says how: ours, its peers and the limit take turns, and a number is the median over
rounds.

**× best** is speed against the fastest peer that took part: above 1, ours is faster. A peer that is missing is not beaten.
**of limit** is the share of what the machine gave at best in the same rounds. Threads are those of ours and of the peers.
`;

/**
 * The page of a repository, or undefined where nothing was measured.
 *
 * @param {string} root
 */
export function performancePage(root) {
  const results = readResults(path.join(root, RESULTS));
  return results.length === 0 ? undefined : pageOf(results);
}

/**
 * Whether the page is the one that the results make; there is none where there are no results.
 *
 * @param {string} root
 */
export function isCurrent(root) {
  const file = path.join(root, PAGE);
  return performancePage(root) === (existsSync(file) ? readFileSync(file, "utf8") : undefined);
}

/** @param {string} folder @returns {Results[]} */
function readResults(folder) {
  if (!existsSync(folder)) return [];
  const names = readdirSync(folder).filter((name) => name.endsWith(".json"));
  return names.map((name) => JSON.parse(readFileSync(path.join(folder, name), "utf8")));
}

/**
 * The page: a section for each group of benchmarks, each benchmark from the newest run that has it.
 *
 * @param {readonly Results[]} results
 */
export function pageOf(results) {
  /** @type {Map<string, Results>} */
  const newest = new Map();
  for (const run of [...results].sort((a, b) => a.date.localeCompare(b.date))) {
    for (const { benchmark } of run.measurements) newest.set(benchmark, run);
  }
  /** Runs and their lines by group: the folder of a benchmark, or its name. @type {Map<string, Map<Results, Line[]>>} */
  const groups = new Map();
  for (const [benchmark, run] of [...newest].sort(([a], [b]) => a.localeCompare(b))) {
    const [name] = benchmark.split("/");
    const runs = groups.get(name) ?? new Map();
    const lines = run.measurements.filter((line) => line.benchmark === benchmark);
    groups.set(name, runs.set(run, [...(runs.get(run) ?? []), ...lines]));
  }
  const sections = [...groups].map(([name, runs]) => sectionOf(name, runs));
  return `${[HEAD, ...sections, missingOf(newest)].join("\n").trimEnd()}\n`;
}

/** @param {string} name @param {Map<Results, Line[]>} runs */
function sectionOf(name, runs) {
  const parts = [...runs].map(([run, lines]) => `${tableOf(lines)}\n\n${circumstancesOf(run, lines)}\n`);
  return `## ${name}\n\n${parts.join("\n")}`;
}

/** @param {Line[]} lines */
function tableOf(lines) {
  const peers = [...new Set(lines.flatMap((line) => Object.keys(line.peers)))];
  const taking = peers.filter((peer) => lines.some((line) => typeof line.peers[peer] === "number"));
  const limited = lines.some((line) => line.limit !== null);
  const head = [
    "measurement",
    "threads",
    "unit",
    "ours",
    ...taking,
    "× best",
    ...(limited ? ["of limit"] : []),
  ];
  const rows = lines.map((line) => {
    const best = Math[line.faster === "larger" ? "max" : "min"](
      ...Object.values(line.peers).filter((value) => value !== null),
    );
    const show = (/** @type {number | null | undefined} */ value) =>
      value === undefined || value === null ? "–" : value === best ? `**${short(value)}**` : short(value);
    return [
      line.name,
      String(line.threads),
      line.unit,
      short(line.ours),
      ...taking.map((peer) => show(line.peers[peer])),
      line.ratio === null ? "–" : line.ratio.toFixed(2),
      ...(limited ? [shareOf(line)] : []),
    ];
  });
  const rule = head.map((_, i) => (i === 0 || head[i] === "unit" ? "---" : "--:"));
  return [head, rule, ...rows].map((cells) => `| ${cells.join(" | ")} |`).join("\n");
}

/** @param {Line} line */
function shareOf({ limit, ours, faster }) {
  if (limit === null) return "–";
  return `${Math.round(100 * (faster === "larger" ? ours / limit : limit / ours))} %`;
}

/** Three digits, without an exponent. @param {number} value */
const short = (value) => (value >= 100 ? String(Math.round(value)) : String(Number(value.toPrecision(3))));

/** Where a run was made, and with what: of the peers those that are in the table. @param {Results} run @param {Line[]} lines */
function circumstancesOf({ date, commit, changed, machine, versions, peers }, lines) {
  const revision = `${commit?.slice(0, 8) ?? "no revision"}${changed ? " with changes" : ""}`;
  const features = machine.features?.length ? ` (${machine.features.join(" ")})` : "";
  const took = lines.some((line) => Object.values(line.peers).some((value) => value !== null));
  return [
    `${date.slice(0, 10)}, ${revision}, ${machine.cpu}${features}, ${machine.cores} cores, ${machine.memoryGB} GB, `,
    ...(machine.gpus ?? []).map((gpu) => `${gpu}, `),
    `${machine.system}, load ${machine.load.toFixed(1)}, Node ${versions.node}.`,
    took && peers.length > 0 ? ` Peers of the run: ${peers.join(", ")}.` : "",
  ].join("");
}

/** What was asked for and did not take part. @param {Map<string, Results>} newest */
function missingOf(newest) {
  /** @type {Map<string, Set<string>>} */
  const missing = new Map();
  for (const [benchmark, run] of newest) {
    for (const line of run.measurements) {
      if (line.benchmark !== benchmark) continue;
      for (const [peer, value] of Object.entries(line.peers)) {
        if (value === null) missing.set(peer, (missing.get(peer) ?? new Set()).add(benchmark));
      }
    }
  }
  if (missing.size === 0) return "";
  const rows = [...missing].map(([peer, where]) => `- ${peer}: ${[...where].sort().join(", ")}`);
  return `## Missing\n\nNot installed, or failed, where these were measured:\n\n${rows.sort().join("\n")}\n`;
}
