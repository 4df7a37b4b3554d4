import { type Device, defaults, device, scope } from "@openelm/tensor";

/** Runs its work `calls` times and says how many seconds that took, until the last result was there. */
export type Contender = (calls: number) => number | Promise<number>;

export interface TurnsOptions {
  /** How often each has its turn; odd, so that the median is one of them. Default 7. */
  readonly rounds?: number;
  /** How long a turn should last. Default 0.1. */
  readonly seconds?: number;
  /** Told of a contender that throws, which then takes no more part. Default: throws what it threw. */
  readonly fails?: (name: string, error: unknown) => void;
}

/**
 * Seconds per call of each contender: the median over rounds in which they take turns, so that whatever else the
 * machine does meets them all. A first round, not counted, warms up and finds how many calls fill a turn.
 */
export async function takeTurns<Name extends string>(
  contenders: Readonly<Record<Name, Contender>>,
  { rounds = 7, seconds = 0.1, fails = rethrow }: TurnsOptions = {},
): Promise<Record<Name, number>> {
  const entries = new Map(Object.entries<Contender>(contenders));
  const everyone = async (turn: (name: string, contender: Contender) => Promise<void>): Promise<void> => {
    for (const [name, contender] of entries) {
      try {
        await turn(name, contender);
      } catch (error) {
        fails(name, error);
        entries.delete(name);
      }
    }
  };
  const calls = new Map<string, number>();
  const times = new Map<string, number[]>();
  await everyone(async (name, contender) => {
    calls.set(name, await callsThatFill(contender, seconds));
    times.set(name, []);
  });
  for (let round = 0; round < rounds; round++) {
    await everyone(async (name, contender) => {
      const count = calls.get(name)!;
      times.get(name)!.push((await contender(count)) / count);
    });
  }
  return Object.fromEntries(Array.from(entries.keys(), (name) => [name, median(times.get(name)!)])) as Record<
    Name,
    number
  >;
}

function rethrow(_name: string, error: unknown): never {
  throw error;
}

async function callsThatFill(contender: Contender, seconds: number): Promise<number> {
  for (let calls = 1; ; calls *= 4) {
    const took = await contender(calls);
    if (took >= seconds / 4) return Math.max(1, Math.round((calls * seconds) / took));
    if (calls > 1e9) throw new RangeError("a contender takes no time at all");
  }
}

/** The middle value; of an even number of values the lower of the two. */
export function median(values: readonly number[]): number {
  if (values.length === 0) throw new RangeError("there is no median of nothing");
  return [...values].sort((a, b) => a - b)[(values.length - 1) >> 1]!;
}

/** A contender that calls `fn` in a scope of its own and waits for the device at the end of its turn. */
export function ours(fn: () => unknown, on: Device = device(defaults().device)): Contender {
  // The results are gone with the scope; what counts is that they were computed.
  const call = (): undefined => void fn();
  return (calls) => {
    on.synchronizeSync();
    const since = performance.now();
    for (let i = 0; i < calls; i++) scope(call);
    on.synchronizeSync();
    return (performance.now() - since) / 1e3;
  };
}
