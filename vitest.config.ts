import { existsSync, readdirSync } from "node:fs";
import { defineConfig, type TestProjectConfiguration } from "vitest/config";

// Tests run from the sources of every package: no dist is read, and a failing line is a line of the source.
const SOURCE = ["openelm-source"];

/** Tests below `test/threads` run in worker threads on purpose, all others in processes. */
const THREADS = "packages/*/test/threads/**/*.test.ts";

const project = (
  name: string,
  include: string[],
  pool: "forks" | "threads" = "forks",
): TestProjectConfiguration => ({
  extends: true,
  test: { name, include, pool, exclude: pool === "threads" ? [] : [THREADS] },
});

const packages = readdirSync("packages").filter((name) => existsSync(`packages/${name}/test`));

export default defineConfig({
  resolve: { conditions: SOURCE },
  ssr: { resolve: { conditions: SOURCE, externalConditions: SOURCE } },
  test: {
    env: { OPENELM_THREADS: "2" },
    passWithNoTests: false,
    // Far above what any test takes alone: machines that are shared are slow at times, and a hang is a hang.
    testTimeout: 120_000,
    hookTimeout: 120_000,
    projects: [
      ...packages.map((name) => project(name, [`packages/${name}/test/**/*.test.ts`])),
      ...(existsSync("benchmarks/test") ? [project("benchmarks", ["benchmarks/test/**/*.test.ts"])] : []),
      project("threads", [THREADS], "threads"),
      project("scripts", ["scripts/test/**/*.test.mjs"]),
    ],
  },
});
