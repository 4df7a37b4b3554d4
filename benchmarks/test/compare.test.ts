import { expect, test, vi } from "vitest";
import { compare } from "../lib/compare.js";
import { peakMemory } from "../lib/memory.js";

/** Calls that take so many seconds each. */
const taking = (seconds: number) => (calls: number) => calls * seconds;
const turns = { timesItself: true, rounds: 1, seconds: 1 } as const;

test("a rate is work for seconds, and the fastest limit bounds it", async () => {
  const bounds = [
    { contender: taking(1), work: 3e9 },
    { contender: taking(2), work: 8e9 },
  ];
  expect(
    await compare({ name: "copy", unit: "GB/s", work: 6e9, ours: taking(3), limit: bounds, ...turns }),
  ).toEqual({ name: "copy", unit: "GB/s", faster: "larger", ours: 2, peers: {}, limit: 4 });
});

test("a time is smaller where it is faster", async () => {
  const limit = [
    { contender: taking(0.5), work: 1 },
    { contender: taking(0.25), work: 1 },
  ];
  expect(await compare({ name: "call", unit: "µs", work: 1, ours: taking(0.5), limit, ...turns })).toEqual({
    name: "call",
    unit: "µs",
    faster: "smaller",
    ours: 5e5,
    peers: {},
    limit: 2.5e5,
  });
});

test("alone, the peers that were asked for are missing", async () => {
  vi.stubEnv("OPENELM_BENCH_ALONE", "1");
  const of = { case: "matmul", m: 1, k: 1, n: 1 };
  const { peers } = await compare({
    name: "product",
    unit: "GFLOP/s",
    work: 2,
    ours: taking(1),
    torch: of,
    peers: { gemm: of },
    ...turns,
  });
  vi.unstubAllEnvs();
  expect(peers).toEqual({ torch: null, gemm: null });
});

test.runIf(process.platform === "linux")(
  "peak memory is that of this process, and missing for a peer that is not there",
  async () => {
    const memory = await peakMemory("training memory", ["torch"]);
    expect(memory).toMatchObject({ unit: "MB", faster: "smaller", peers: { torch: null } });
    const { heapTotal, rss } = process.memoryUsage();
    expect(memory!.ours * 1e6).toBeGreaterThan(heapTotal / 2);
    expect(memory!.ours * 1e6).toBeGreaterThanOrEqual(rss / 2);
  },
);
