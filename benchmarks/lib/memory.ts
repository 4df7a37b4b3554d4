import { readFileSync } from "node:fs";
import { defaults, device } from "@openelm/tensor";
import type { Measurement } from "./measure.js";
import { type PeerName, peakOf as peakOfDevice, pidOf } from "./peers.js";

/**
 * The largest memory that this process and those of the peers have held since they began, in MB, or that their tensors held
 * on a GPU; undefined where the system does not tell. A benchmark that yields it measures one thing only, so that the peak is its own.
 */
export async function peakMemory(name: string, peers: readonly PeerName[]): Promise<Measurement | undefined> {
  const on = device(defaults().device);
  const ours = on.name === "cpu" ? peakOf("self") : on.memory().peak / 1e6;
  if (ours === undefined) return undefined;
  const others = peers.map(async (peer) => {
    if (on.name !== "cpu") {
      const bytes = await peakOfDevice(peer);
      return [peer, bytes === undefined ? null : bytes / 1e6] as const;
    }
    const pid = await pidOf(peer);
    return [peer, (pid !== undefined && peakOf(pid)) || null] as const;
  });
  return {
    name,
    unit: "MB",
    faster: "smaller",
    ours,
    peers: Object.fromEntries(await Promise.all(others)),
  };
}

/** Peak of resident memory as Linux keeps it for each process. */
function peakOf(process: number | "self"): number | undefined {
  try {
    const kibibytes = readFileSync(`/proc/${process}/status`, "utf8").match(/^VmHWM:\s+(\d+) kB$/m)?.[1];
    return kibibytes === undefined ? undefined : (Number(kibibytes) * 1024) / 1e6;
  } catch {
    return undefined;
  }
}
