// How much memory this process has ever had.
import { openSync, readSync } from "node:fs";

/**
 * Bytes at the highest so far. On Linux those of the address space, which memory counts to as soon as it is taken, whether
 * it is ever touched or not; elsewhere those that were in memory.
 *
 * @returns {() => number}
 */
export function peakMemory() {
  const resident = () => process.resourceUsage().maxRSS * 1024;
  if (process.platform !== "linux") return resident;
  const file = openSync("/proc/self/status", "r");
  const text = Buffer.alloc(1024);
  return () => {
    const length = readSync(file, text, 0, text.length, 0);
    const found = /VmPeak:\s*(\d+) kB/.exec(text.toString("latin1", 0, length));
    return found === null ? resident() : Number(found[1]) * 1024;
  };
}
