import { expect, test } from "vitest";
import { openelm } from "./cli.js";

// The published tables: heads and widths of each layer, parameters by vocabulary.
const QUERY_HEADS: Record<string, number[]> = {
  "OpenELM-270M": [12, 12, 12, 12, 12, 16, 16, 16, 16, 16, 16, 16, 20, 20, 20, 20],
  "OpenELM-450M": [12, 12, 12, 16, 16, 16, 16, 16, 16, 16, 20, 20, 20, 20, 20, 20, 24, 24, 24, 24],
  "OpenELM-1_1B": [
    16, 16, 16, 20, 20, 20, 20, 20, 20, 20, 24, 24, 24, 24, 24, 24, 24, 24, 28, 28, 28, 28, 28, 28, 32, 32,
    32, 32,
  ],
  "OpenELM-3B": [
    12, 12, 12, 12, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 20, 20, 20, 20, 20, 20, 20, 20,
    20, 20, 20, 20, 24, 24, 24, 24, 24, 24,
  ],
};

const FEED_FORWARD: Record<string, number[]> = {
  "OpenELM-270M": [
    768, 1024, 1280, 1536, 1792, 2048, 2560, 2816, 3072, 3328, 3584, 3840, 4352, 4608, 4864, 5120,
  ],
  "OpenELM-450M": [
    768, 1024, 1280, 1536, 1792, 2304, 2560, 2816, 3072, 3328, 3584, 3840, 4096, 4352, 4608, 5120, 5376, 5632,
    5888, 6144,
  ],
  "OpenELM-1_1B": [
    1024, 1280, 1536, 1792, 2048, 2304, 2560, 2816, 3072, 3328, 3584, 3840, 4096, 4608, 4608, 5120, 5376,
    5632, 5888, 6144, 6400, 6656, 6912, 7168, 7424, 7680, 7936, 8192,
  ],
  "OpenELM-3B": [
    1536, 1792, 2048, 2560, 2816, 3072, 3328, 3584, 4096, 4352, 4608, 4864, 5120, 5632, 5888, 6144, 6400,
    6656, 7168, 7424, 7680, 7936, 8192, 8704, 8960, 9216, 9472, 9728, 10240, 10496, 10752, 11008, 11264,
    11776, 12032, 12288,
  ],
};

const PARAMETERS: Record<string, Record<number, number>> = {
  "OpenELM-270M": { 32000: 271_527_168, 32001: 271_528_448, 32128: 271_691_008 },
  "OpenELM-450M": { 32000: 457_179_136, 32001: 457_180_672, 32128: 457_375_744 },
  "OpenELM-1_1B": { 32000: 1_079_891_456, 32001: 1_079_893_504, 32128: 1_080_153_600 },
  "OpenELM-3B": { 32000: 3_036_647_424, 32001: 3_036_650_496, 32128: 3_037_040_640 },
};

const cases = Object.entries(PARAMETERS).flatMap(([size, counts]) =>
  Object.entries(counts).map(([vocabSize, parameters]) => ({ size, vocabSize, parameters })),
);

test.each(cases)("$size with $vocabSize tokens is as published", async ({ size, vocabSize, parameters }) => {
  const { code, stdout } = await openelm(["describe", size, "--vocab-size", vocabSize, "--json"]);
  expect(code).toBe(0);
  const layers = QUERY_HEADS[size]!.map((queryHeads, i) => ({
    queryHeads,
    kvHeads: queryHeads / 4,
    feedForwardDim: FEED_FORWARD[size]![i],
  }));
  expect(JSON.parse(stdout)).toEqual({ parameters, layers });
});

test("for a person it is a table", async () => {
  const { stdout } = await openelm(["describe", "gpt-test"]);
  expect(stdout).toContain("gpt-test: ");
  expect(stdout).toMatch(/^layer {2}query heads {2}kv heads {2}feed-forward {2}parameters$/m);
});
