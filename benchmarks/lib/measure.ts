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

/** What a file `*.bench.ts` exports under the name `bench`. */
export type Benchmark = () => AsyncIterable<Measurement>;

const present = ({ peers }: Measurement): number[] => Object.values(peers).filter((value) => value !== null);

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

/** What `--json` and the results files say of a measurement. */
export function toRecord(measurement: Measurement): Record<string, unknown> {
  const { name, unit, ours, peers, limit } = measurement;
  for (const [who, value] of [["ours", ours], ...Object.entries(peers)] as const) {
    if (value !== null && !(Number.isFinite(value) && value > 0)) {
      throw new RangeError(`${name}: ${who} is ${value}; a measurement is a positive number`);
    }
  }
  return { name, unit, ours, peers, limit: limit ?? null, ratio: ratio(measurement) ?? null };
}

/** The line that `--json` prints. */
export const toJson = (measurement: Measurement): string => JSON.stringify(toRecord(measurement));

/** The line that a person reads. */
export function toText(measurement: Measurement): string {
  const { name, unit, ours, peers, limit } = measurement;
  const show = (value: number | null): string =>
    value === null ? "missing" : `${Number(value.toPrecision(4))} ${unit}`;
  const others = Object.entries(peers).map(([peer, value]) => `${peer} ${show(value)}`);
  const relative = ratio(measurement);
  return [
    `${name.padEnd(44)} ${show(ours)}`,
    ...others,
    ...(relative === undefined ? [] : [`${relative.toFixed(2)}× the best peer`]),
    ...(limit === undefined ? [] : [`limit ${show(limit)}`]),
  ].join("  ");
}
