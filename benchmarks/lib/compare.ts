import { accumulate, sum, type Tensor, tensor, zeros } from "@openelm/tensor";
import type { Measurement } from "./measure.js";
import type { PeerCase } from "./peer.js";
import { contenderOf, noteFailure, type PeerCases, type PeerName } from "./peers.js";
import { type Contender, ours, type TurnsOptions, takeTurns } from "./turns.js";

/** A speed that is measured: what one call does, and in which unit. */
export interface Comparison extends TurnsOptions {
  readonly name: string;
  readonly unit: keyof typeof SCALE;
  /** Operations, bytes, tokens or steps of one call; for a time the calls of one. */
  readonly work: number;
  readonly ours: (() => unknown) | Contender;
  /** Whether `ours` times itself. */
  readonly timesItself?: boolean;
  /** The same in PyTorch and NumPy, and in others; leave out what they do not have. */
  readonly torch?: PeerCase;
  readonly numpy?: PeerCase;
  readonly peers?: PeerCases;
  /** What bounds it; the fastest counts. */
  readonly limit?: readonly Bound[];
}

/** Something that runs in the same rounds and shows what the machine can do. */
export interface Bound {
  readonly contender: Contender;
  /** Work of one call. */
  readonly work: number;
}

/** Work that makes one of a unit; a time is that of one call. */
const SCALE = { "GFLOP/s": 1e9, "GB/s": 1e9, "tokens/s": 1, "steps/s": 1, µs: 1 } as const;

/** Lets ours, the peers and the limit take turns. */
export async function compare(comparison: Comparison): Promise<Measurement> {
  const { name, unit, work, limit = [], torch, numpy } = comparison;
  const mine = comparison.timesItself
    ? (comparison.ours as Contender)
    : ours(comparison.ours as () => unknown);
  const contenders: Record<string, Contender> = { ours: mine };
  const cases = { ...(torch && { torch }), ...(numpy && { numpy }), ...comparison.peers };
  const asked = Object.entries(cases) as [PeerName, PeerCase][];
  for (const [peer, of] of asked) {
    const contender = await contenderOf(peer, of);
    if (contender) contenders[peer] = contender;
  }
  for (const [i, bound] of limit.entries()) contenders[`limit ${i}`] = bound.contender;

  const seconds = await takeTurns(contenders, {
    ...comparison,
    fails: (who, error) => {
      if (!(who in cases)) throw error;
      noteFailure(who, error);
    },
  });
  const speed = (who: string, amount: number): number =>
    unit === "µs" ? (seconds[who]! * 1e6) / amount : amount / SCALE[unit] / seconds[who]!;
  const best = unit === "µs" ? Math.min : Math.max;
  return {
    name,
    unit,
    faster: unit === "µs" ? "smaller" : "larger",
    ours: speed("ours", work),
    peers: Object.fromEntries(
      asked.map(([peer]) => [peer, seconds[peer] === undefined ? null : speed(peer, work)]),
    ),
    ...(limit.length > 0 && { limit: best(...limit.map((bound, i) => speed(`limit ${i}`, bound.work))) }),
  };
}

/**
 * What memory gives, moving as many `bytes` as the op it bounds: the better of an update in place and a sum. Neither
 * takes new memory, whose first use costs more than moving it.
 */
export function memoryOf(bytes: number): Bound[] {
  const floats = Math.max(1, Math.round(bytes / 4));
  const [into, from] = [0, 1].map(() => zeros([Math.ceil(floats / 3)])) as [Tensor, Tensor];
  const read = zeros([floats]);
  const weight = tensor(1);
  return [
    { contender: ours(() => accumulate(weight, [into], [from])), work: bytes },
    { contender: ours(() => sum(read)), work: bytes },
  ];
}
