import { expect, test } from "vitest";
import { middle } from "../src/bench/throughput.js";
import { openelm } from "./cli.js";

const args = [
  "bench",
  "throughput",
  "gpt-test",
  "--prompt-tokens",
  "6",
  "--new-tokens",
  "5",
  "--rounds",
  "2",
];

test("bench throughput gives a row a model, and an object for a program", { timeout: 300_000 }, async () => {
  const { code, stdout } = await openelm([...args, "gpt-test", "--dtype", "f32"]);
  expect(code).toBe(0);
  expect(stdout).toContain("tokens/s: prompt of 6, 5 made, batch 1");
  expect(stdout.match(/^gpt-test +cpu +f32( +\d+\.\d\d){3} +[\d.]+ MB$/gm)).toHaveLength(2);
  const { events } = await openelm([...args, "--json"]);
  const [row] = events as [Record<string, number>];
  expect(events).toHaveLength(1);
  expect(row).toMatchObject({
    model: "gpt-test",
    device: "cpu",
    dtype: "bf16",
    promptTokens: 6,
    newTokens: 5,
  });
  const { promptTokensPerSecond: prompt, generationTokensPerSecond: generation } = row!;
  // 11 tokens over the time of both parts.
  const total = 11 / (6 / prompt! + 5 / generation!);
  expect(row!.memory).toBeGreaterThan(2 * row!.parameters!);
  expect(row!.totalTokensPerSecond).toBeCloseTo(total, 6);
});

test("bench throughput refuses what does not fit, and a name that is no model", async () => {
  const long = await openelm([...args, "--new-tokens", "5000"]);
  expect(long.code).toBe(1);
  expect(long.stderr).toMatch(/6 and 5000 more tokens do not fit the model's context of 2048/);

  const { code, stderr } = await openelm(["bench", "throughput", "OpenELM-9B"]);
  expect(code).toBe(1);
  expect(stderr).toMatch(/OpenELM-9B is neither a folder nor a size; sizes are OpenELM-270M/);
});

test("the round in the middle is the median by its total", () => {
  const round = (total: number) => ({ prompt: 0, generation: 0, total, memory: 0 });
  expect(middle([3, 1, 2].map(round)).total).toBe(2);
  expect(middle([4, 1].map(round)).total).toBe(1);
});
