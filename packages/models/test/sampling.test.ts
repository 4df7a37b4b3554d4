import { ConfigError } from "@openelm/native";
import { Generator, type Tensor, tensor } from "@openelm/tensor";
import { describe, expect, test } from "vitest";
import { type SampleContext, type SamplingOptions, sample } from "../src/index.js";
import { pick } from "../src/sampling/filters.js";

const DRAWS = 4000;

/** Shares of the tokens among draws from the same scores. */
async function shares(
  logits: readonly number[],
  options: SamplingOptions & SampleContext = {},
): Promise<number[]> {
  const rows = tensor(Array(DRAWS).fill(logits) as number[][]);
  const ids = await sample(rows, { generator: new Generator(1), ...options }).data();
  const counts = logits.map(() => 0);
  for (const id of ids) counts[Number(id)]!++;
  return counts.map((count) => count / DRAWS);
}

/** Expects shares within four standard errors. */
function expectShares(got: readonly number[], expected: readonly number[]): void {
  for (const [i, p] of expected.entries()) {
    if (p === 0 || p === 1) expect(got[i]).toBe(p);
    else expect(Math.abs(got[i]! - p)).toBeLessThan(4 * Math.sqrt((p * (1 - p)) / DRAWS));
  }
}

const probabilities = [0.5, 0.25, 0.15, 0.1];
const logits = probabilities.map(Math.log);

describe("sample", () => {
  test("draws by the softmax of the scores", async () => {
    expectShares(await shares(logits), probabilities);
  });

  test("sharpens by temperature, however low, and takes the best at 0", async () => {
    const squares = probabilities.map((p) => p * p);
    const total = squares.reduce((a, b) => a + b);
    expectShares(
      await shares(logits, { temperature: 0.5 }),
      squares.map((p) => p / total),
    );
    for (const temperature of [0, 1e-50, 1e-40, 1e-6]) {
      expectShares(await shares([1, 80, -80, 2], { temperature }), [0, 1, 0, 0]);
    }
    expectShares(await shares(logits, { temperature: 1e6 }), [0.25, 0.25, 0.25, 0.25]);
  });

  test("keeps the best k, the nucleus, and what is likely enough", async () => {
    expectShares(await shares(logits, { topK: 1 }), [1, 0, 0, 0]);
    expectShares(await shares(logits, { topK: 2 }), [2 / 3, 1 / 3, 0, 0]);
    expectShares(await shares(logits, { topK: 9 }), probabilities);
    expectShares(await shares(logits, { topP: 0.4 }), [1, 0, 0, 0]);
    expectShares(await shares(logits, { topP: 0.6 }), [2 / 3, 1 / 3, 0, 0]);
    expectShares(await shares(logits, { topP: 0.8 }), [5 / 9, 2.5 / 9, 1.5 / 9, 0]);
    expectShares(await shares(logits, { topP: 1 }), probabilities);
    expectShares(await shares(logits, { minP: 0.4 }), [2 / 3, 1 / 3, 0, 0]);
    expectShares(await shares(logits, { minP: 1 }), [1, 0, 0, 0]);
    expectShares(await shares(logits, { minP: 0 }), probabilities);
    expectShares(await shares(logits, { topK: 3, topP: 0.7 }), [2 / 3, 1 / 3, 0, 0]);
  });

  test("works on scores in any order, row by row", async () => {
    const rows = tensor([
      [0, 3, 1],
      [5, 1, 1],
    ]);
    expect(await sample(rows, { topP: 0.1 }).array()).toEqual([1, 0]);
    expect(await sample(rows.to("bf16"), { temperature: 0 }).array()).toEqual([1, 0]);
  });

  test("divides positive scores of earlier tokens and multiplies negative ones, once each", async () => {
    const scores = tensor([[4, 3, -1, -1.5]]);
    const seen = (ids: number[]): Tensor => tensor([ids], { dtype: "i32" });
    const greedy = (ids: number[], repetitionPenalty: number): Promise<unknown> =>
      sample(scores, { temperature: 0, seen: seen(ids), repetitionPenalty }).array();
    expect(await greedy([0, 0, 0], 1.2)).toEqual([0]);
    expect(await greedy([0], 1.5)).toEqual([1]);
    // −1 · 2 is below −1.5.
    const low = tensor([[-1, -1.5]]);
    expect(await sample(low, { temperature: 0, seen: seen([0]), repetitionPenalty: 2 }).array()).toEqual([1]);
    expect(await sample(scores, { temperature: 0, repetitionPenalty: 9 }).array()).toEqual([0]);
  });

  test("takes penalties off the scores of earlier tokens, by how often they came, and adds biases", async () => {
    const scores = tensor([[4, 3, 2]]);
    const greedy = async (seen: number[], options: SamplingOptions): Promise<number> => {
      const context = { temperature: 0, seen: tensor([seen], { dtype: "i32" }) };
      return ((await sample(scores, { ...context, ...options }).array()) as number[])[0]!;
    };
    expect(await greedy([0, 0, 0], { presencePenalty: 0.9 })).toBe(0);
    expect(await greedy([0, 0, 0], { presencePenalty: 1.1 })).toBe(1);
    expect(await greedy([0], { frequencyPenalty: 0.9 })).toBe(0);
    expect(await greedy([0, 0], { frequencyPenalty: 0.9 })).toBe(1);
    expect(await greedy([0, 0, 1], { frequencyPenalty: 0.6, presencePenalty: 1 })).toBe(2);
    expect(await greedy([1], { presencePenalty: -2 })).toBe(1);
    expect(await greedy([1], { logitBias: { 2: 5 } })).toBe(2);
    expect(await greedy([1], { logitBias: new Map([[0, Number.NEGATIVE_INFINITY]]) })).toBe(1);
    expect(() => sample(scores, { logitBias: { 3: 1 } })).toThrow(/token 3, but the vocabulary ends at 2/);
    expectShares(await shares(logits, { logitBias: { 0: Math.log(0.5) } }), [1 / 3, 1 / 3, 0.2, 2 / 15]);
  });

  test("gives −1 where there is no number to choose by", async () => {
    const rows = tensor([
      [0, Number.NaN, 1],
      [0, 1, 2],
      [Number.POSITIVE_INFINITY, 0, 0],
    ]);
    expect(await sample(rows, { temperature: 0 }).array()).toEqual([-1, 2, -1]);
    const [first, second, third] = (await sample(rows, { topK: 1 }).array()) as number[];
    expect([first, second, third]).toEqual([-1, 2, -1]);
    const none = tensor([[Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY]]);
    expect(await sample(none).array()).toEqual([-1]);
  });

  test("never draws what has no probability, at the ends of the uniform numbers too", async () => {
    const probabilities = tensor([
      [0, 0.5, 0, 0.5, 0],
      [0, 0.5, 0, 0.5, 0],
      [0, 0, 1e-30, 0, 0],
    ]);
    const most = 1 - 2 ** -24;
    expect(await pick(probabilities, tensor([0, most, most])).array()).toEqual([1, 3, 2]);
  });

  test("draws the same from the same generator", async () => {
    const draw = (): Promise<unknown> =>
      sample(tensor(Array(50).fill(logits) as number[][]), { generator: new Generator(3) }).array();
    expect(await draw()).toEqual(await draw());
  });

  test("refuses options out of range", () => {
    expect(() => sample(tensor([[1, 2]]), { topK: 1.5 })).toThrow(ConfigError);
    expect(() => sample(tensor([[1, 2]]), { minP: Number.NaN })).toThrow(/minP must be in \[0, 1\], got NaN/);
  });
});
