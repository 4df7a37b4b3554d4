import { accumulate, sum, type Tensor, tensor, zeros } from "@openelm/tensor";
import type { Measurement } from "./measure.js";
import type { PeerCase, PythonPeer } from "./python.js";
import { numpy, torch } from "./python.js";
import { type Contender, ours, type TurnsOptions, takeTurns } from "./turns.js";

/** A rate that is measured: what one call does, and in which unit. */
export interface Comparison extends TurnsOptions {
  readonly name: string;
  readonly unit: "GFLOP/s" | "GB/s" | "tokens/s" | "steps/s";
  /** Operations, bytes, tokens or steps of one call. */
  readonly work: number;
  readonly ours: (() => unknown) | Contender;
  /** Whether `ours` times itself. */
  readonly timesItself?: boolean;
  /** The same in PyTorch and NumPy; leave out what they do not have. */
  readonly torch?: PeerCase;
  readonly numpy?: PeerCase;
  /** What bounds it; the fastest counts. */
  readonly limit?: readonly Bound[];
}

/** Something that runs in the same rounds and shows what the machine can do. */
export interface Bound {
  readonly contender: Contender;
  /** Work of one call. */
  readonly work: number;
}

const SCALE = { "GFLOP/s": 1e9, "GB/s": 1e9, "tokens/s": 1, "steps/s": 1 } as const;

/** Lets ours, the peers and the limit take turns. */
export async function compare(comparison: Comparison): Promise<Measurement> {
  const { name, unit, work, limit = [] } = comparison;
  const mine = comparison.timesItself
    ? (comparison.ours as Contender)
    : ours(comparison.ours as () => unknown);
  const contenders: Record<string, Contender> = { ours: mine };
  const peers: Record<string, number | null> = {};
  const enter = async (
    peer: string,
    start: () => Promise<PythonPeer>,
    of: PeerCase | undefined,
  ): Promise<void> => {
    if (of === undefined) return;
    peers[peer] = null;
    const contender = await (await start()).contender(of);
    if (contender) contenders[peer] = contender;
  };
  await enter("torch", torch, comparison.torch);
  await enter("numpy", numpy, comparison.numpy);
  for (const [i, bound] of limit.entries()) contenders[`limit ${i}`] = bound.contender;

  const seconds = await takeTurns(contenders, comparison);
  const rate = (who: string, amount: number): number => amount / SCALE[unit] / seconds[who]!;
  for (const peer of Object.keys(peers)) if (seconds[peer] !== undefined) peers[peer] = rate(peer, work);
  return {
    name,
    unit,
    faster: "larger",
    ours: rate("ours", work),
    peers,
    ...(limit.length > 0 && { limit: Math.max(...limit.map((bound, i) => rate(`limit ${i}`, bound.work))) }),
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
