import { copy, type Tensor, uniform } from "@openelm/tensor";
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
  /** What bounds it: a contender and the work of one of its calls. */
  readonly limit?: Bound;
}

/** Something that runs in the same rounds and that nothing of this kind passes. */
export interface Bound {
  readonly contender: Contender;
  readonly work: number;
}

const SCALE = { "GFLOP/s": 1e9, "GB/s": 1e9, "tokens/s": 1, "steps/s": 1 } as const;

/** Lets ours, the peers and the limit take turns. */
export async function compare(comparison: Comparison): Promise<Measurement> {
  const { name, unit, work, limit } = comparison;
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
  if (limit) contenders.limit = limit.contender;

  const seconds = await takeTurns(contenders, comparison);
  const rate = (who: string, amount: number): number => amount / SCALE[unit] / seconds[who]!;
  for (const peer of Object.keys(peers)) if (seconds[peer] !== undefined) peers[peer] = rate(peer, work);
  return {
    name,
    unit,
    faster: "larger",
    ours: rate("ours", work),
    peers,
    ...(limit && { limit: rate("limit", limit.work) }),
  };
}

/** What memory gives: a copy that reads and writes `bytes` in all, as much as the op it bounds. */
export function copyOf(bytes: number): Bound {
  const from: Tensor = uniform([Math.max(1, Math.round(bytes / 8))]);
  return { contender: ours(() => copy(from)), work: bytes };
}
