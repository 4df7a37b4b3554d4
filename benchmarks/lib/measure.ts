/** One number beside those of the peers, all taken on one machine in one run. */
export interface Measurement {
  readonly name: string;
  /** `"GB/s"`, `"tokens/s"`, `"µs"`, … */
  readonly unit: string;
  /** Whether a larger number is faster (a rate) or a smaller one (a time). */
  readonly faster: "larger" | "smaller";
  readonly ours: number;
  /** The same in other programs, by their names; `null` where one is not installed, empty where there is none. */
  readonly peers: Readonly<Record<string, number | null>>;
  /** What the hardware could do at best, where that is known. */
  readonly limit?: number | undefined;
}

/** What a file `*.bench.ts` exports. */
export interface Benchmark {
  readonly bench: () => AsyncIterable<Measurement>;
  /** Whether it is run with one thread too. Default: with all. */
  readonly threads?: "one and all";
  /** Where it runs, whatever the user says; a benchmark for GPUs says `"cuda"`. Default: where the user says, else the CPU. */
  readonly device?: string;
}

/** A measurement as `--json` prints it and results files hold it. */
export interface Line extends Omit<Measurement, "limit"> {
  /** The file that it comes from, as `--list` names it. */
  readonly benchmark: string;
  /** Threads of ours and of the peers. */
  readonly threads: number;
  readonly limit: number | null;
  readonly ratio: number | null;
}

const present = ({ peers }: Pick<Measurement, "peers">): number[] =>
  Object.values(peers).filter((value) => value !== null);

/**
 * Speed relative to the best peer: above 1, ours is faster. Undefined without a peer; one that is missing is not beaten.
 *
 * @example
 * ```ts
 * ratio({ name: "add", unit: "µs", faster: "smaller", ours: 2, peers: { a: 3, b: 4, c: null } }); // 1.5
 * ```
 */
export function ratio(measurement: Measurement): number | undefined {
  const { faster, ours } = measurement;
  const all = present(measurement);
  if (all.length === 0) return undefined;
  return faster === "larger" ? ours / Math.max(...all) : Math.min(...all) / ours;
}

/**
 * The line of a measurement.
 *
 * @throws RangeError if one of its numbers is no measurement.
 */
export function toLine(measurement: Measurement, benchmark: string, threads: number): Line {
  const { name, unit, faster, ours, peers, limit } = measurement;
  for (const [who, value] of [["ours", ours], ...Object.entries(peers)] as const) {
    if (value !== null && !(Number.isFinite(value) && value > 0)) {
      throw new RangeError(`${name}: ${who} is ${value}; a measurement is a positive number`);
    }
  }
  const relative = ratio(measurement) ?? null;
  return { benchmark, name, threads, unit, faster, ours, peers, limit: limit ?? null, ratio: relative };
}

/** The line that a person reads. */
export function toText({ name, threads, unit, ours, peers, limit, ratio }: Line): string {
  const show = (value: number | null): string =>
    value === null ? "missing" : `${Number(value.toPrecision(4))} ${unit}`;
  const others = Object.entries(peers).map(([peer, value]) => `${peer} ${show(value)}`);
  return [
    `${name.padEnd(44)} ${threads}t  ${show(ours)}`,
    ...others,
    ...(ratio === null ? [] : [`${ratio.toFixed(2)}× the best peer`]),
    ...(limit === null ? [] : [`limit ${show(limit)}`]),
  ].join("  ");
}
