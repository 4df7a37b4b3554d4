// How much memory this process has, and has ever had.
import { openSync, readSync } from "node:fs";

/**
 * Bytes now and at the highest so far. On Linux those of the address space, which memory counts to as soon as it is taken,
 * whether it is ever touched or not; elsewhere those that were in memory.
 *
 * @returns {() => { now: number, peak: number }}
 */
export function memory() {
  const resident = () => ({ now: process.memoryUsage.rss(), peak: process.resourceUsage().maxRSS * 1024 });
  if (process.platform !== "linux") return resident;
  const file = openSync("/proc/self/status", "r");
  const text = Buffer.alloc(1024);
  return () => {
    const length = readSync(file, text, 0, text.length, 0);
    const found = /VmPeak:\s*(\d+) kB\s*VmSize:\s*(\d+) kB/.exec(text.toString("latin1", 0, length));
    return found === null ? resident() : { now: Number(found[2]) * 1024, peak: Number(found[1]) * 1024 };
  };
}
