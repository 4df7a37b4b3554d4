import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { availableParallelism, cpus, loadavg, release, totalmem } from "node:os";
import { cudaProbe } from "@openelm/tensor";
import type { Line } from "./measure.js";

/** Where and with what the numbers were taken. */
export interface Circumstances {
  readonly date: string;
  readonly commit: string | null;
  /** Whether files differ from the commit. */
  readonly changed: boolean;
  readonly machine: {
    readonly cpu: string;
    /** What the processor can do that kernels care for, as Linux names it. */
    readonly features: readonly string[];
    readonly cores: number;
    readonly threads: number;
    readonly memoryGB: number;
    /** GPUs, if there are any. */
    readonly gpus: readonly string[];
    readonly system: string;
    /** Programs that wanted to run in the last minute, before the first measurement. */
    readonly load: number;
  };
  readonly versions: Readonly<Record<string, string>>;
  /** Peers that took part. */
  readonly peers: readonly string[];
}

/** Circumstances of this run, with the threads of the device. */
export function circumstances(threads: number): Omit<Circumstances, "peers"> {
  // A machine that got the built packages alone is told what they were built from.
  const { OPENELM_BENCH_COMMIT: told } = process.env;
  const status = told ? "" : git("status", "--porcelain");
  return {
    date: new Date().toISOString(),
    commit: told ?? git("rev-parse", "HEAD") ?? null,
    changed: status === undefined || status !== "",
    machine: {
      cpu: cpus()[0]?.model.trim() ?? "unknown",
      features: features(),
      cores: availableParallelism(),
      threads,
      gpus: cudaProbe().devices,
      memoryGB: Math.round(totalmem() / 1e9),
      system: `${process.platform} ${process.arch} ${release()}`,
      load: loadavg()[0]!,
    },
    versions: { node: process.versions.node, v8: process.versions.v8 },
  };
}

/** Vector and matrix units: names of clouds say little of the processor below. */
function features(): string[] {
  try {
    const flags =
      readFileSync("/proc/cpuinfo", "utf8")
        .match(/^flags\s*:(.*)$/m)?.[1]
        ?.split(" ") ?? [];
    return flags.filter((flag) =>
      /^(?:fma|f16c|avx2|avx512f|avx512_?(?:bf16|fp16|vnni)|amx_\w+)$/.test(flag),
    );
  } catch {
    return [];
  }
}

function git(...args: string[]): string | undefined {
  try {
    return execFileSync("git", args, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim();
  } catch {
    return undefined;
  }
}

/** Writes a run to `folder`, under its date and commit, and gives the path. */
export function save(folder: string, about: Circumstances, measurements: readonly Line[]): string {
  mkdirSync(folder, { recursive: true });
  const day = about.date.slice(0, 19).replaceAll(":", "");
  const file = `${folder}${day}-${about.commit?.slice(0, 8) ?? "unversioned"}.json`;
  const text = JSON.stringify({ ...about, measurements }, null, 2);
  writeFileSync(file, `${text}\n`);
  return file;
}
