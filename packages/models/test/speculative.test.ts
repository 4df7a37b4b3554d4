//! Guesses may change how fast text comes, and nothing else.
import { Generator, liveTensors, type Tensor, tensor, uniform } from "@openelm/tensor";
import { settledTensors } from "@openelm/testing";
import { describe, expect, test } from "vitest";
import { continuation } from "../src/generate/speculative/prompt-lookup.js";
import { verify } from "../src/generate/speculative/verify.js";
import {
  type DraftOptions,
  type GenerateOptions,
  generate,
  type OpenELM,
  PromptCache,
} from "../src/index.js";
import { Chooser } from "../src/sampling/chooser.js";
import { filtered } from "../src/sampling/filters.js";
import { letters, tinyModel } from "./tiny.js";

const model = tinyModel({ maxContextLength: 128 });
const options = { tokenizer: letters, stopIds: [], addBos: false, maxTokens: 40 };

/** A model that mostly agrees: the same weights with some noise. */
function relative(noise: number): OpenELM {
  const other = tinyModel({ maxContextLength: 128 }).initialize();
  const { value } = other.norm.weight;
  const shift = uniform(value.shape, { low: -noise, high: noise, generator: new Generator(9) });
  value.setAt([":"], value.add(shift));
  return other;
}

const drafts: [string, DraftOptions][] = [
  ["the prompt", { from: "prompt" }],
  ["the prompt, one token at a time", { from: "prompt", tokens: 1, ngram: 1 }],
  ["the prompt, as many as there may be", { from: "prompt", tokens: 15, ngram: 2 }],
  ["itself", { from: model, tokens: 3 }],
  ["a model that mostly agrees", { from: relative(0.8), tokens: 4 }],
  ["a stranger", { from: tinyModel({ layers: 1, maxContextLength: 128 }, 7), tokens: 5 }],
];
const prompts = ["abcabcabc", "hello", "z", "xyxyxyxyxy"];

describe.each(drafts)("greedy text with guesses from %s", (_, draft) => {
  test.each([
    {},
    { repetitionPenalty: 1.4, presencePenalty: 0.3, frequencyPenalty: 0.2, logitBias: { 3: 1 }, logprobs: 2 },
  ])("is that of one token at a time, token for token: %j", async (how: Partial<GenerateOptions>) => {
    for (const capture of [false, true]) {
      for (const prompt of prompts) {
        const all = { ...options, ...how, temperature: 0, capture };
        const plain = await generate(model, prompt, all).result();
        const result = await generate(model, prompt, { ...all, draft }).result();
        expect(result.ids).toEqual(plain.ids);
        expect(result).toMatchObject({ text: plain.text, finishReason: plain.finishReason });
        if (how.logprobs === undefined) continue;
        for (const [i, token] of result.tokens.entries()) {
          expect(token.logprob).toBeCloseTo(plain.tokens[i]!.logprob!, 4);
          expect(token.top?.map(({ id }) => id)).toEqual(plain.tokens[i]!.top?.map(({ id }) => id));
        }
      }
    }
  });
});

describe("guesses", () => {
  test("of the model itself are all taken, also when they are drawn", async () => {
    const draft = { from: model, tokens: 3 };
    for (const temperature of [0, 1]) {
      const { usage } = await generate(model, "abc", {
        ...options,
        maxTokens: 41,
        temperature,
        draft,
      }).result();
      expect(usage).toMatchObject({ completionTokens: 41, draftTokens: 30, acceptedTokens: 30 });
    }
  });

  test("stop at a stop text inside of them, and leave the text in a cache of its own length", async () => {
    const how = { ...options, temperature: 0 };
    const { text } = await generate(model, "abcabc", how).result();
    const stop = text.slice(10, 13);
    const expected = await generate(model, "abcabc", { ...how, stop }).result();
    const draft = { from: model, tokens: 7 };
    using promptCache = PromptCache.empty(model);
    expect(await generate(model, "abcabc", { ...how, stop, draft, promptCache }).result()).toMatchObject({
      text: expected.text,
      finishReason: "stop",
      ids: expected.ids,
    });
    expect(promptCache.ids).toEqual([0, 1, 2, 0, 1, 2, ...expected.ids].slice(0, promptCache.ids.length));
    expect(promptCache.cache.length).toBe(promptCache.ids.length);
    const again = await generate(model, "abcabc", { ...how, draft, promptCache }).result();
    expect(again.text).toBe(text);
  });

  test("draw the same text for the same seed, and leave no tensor behind", async () => {
    const draft = { from: relative(0.5), tokens: 4 } as const;
    const how = { ...options, topK: 8, seed: 4, draft };
    const first = await generate(model, "abc", how).result();
    const before = await settledTensors();
    expect(await generate(model, "abc", how).result()).toEqual(first);
    expect((await generate(model, "abc", { ...how, seed: 5 }).result()).ids).not.toEqual(first.ids);
    let made = 0;
    for await (const _ of generate(model, "abc", how)) if (++made === 9) break;
    expect(liveTensors()).toBe(before);
  });

  test("end with the context of the model that makes them", async () => {
    const short = tinyModel({ maxContextLength: 20 });
    const draft = { from: short, tokens: 4 };
    const how = { ...options, temperature: 0, maxTokens: 60 };
    const plain = await generate(model, "abc", how).result();
    expect((await generate(model, "abc", { ...how, draft }).result()).ids).toEqual(plain.ids);
  });

  test("are refused by number and by vocabulary", () => {
    const of = (draft: unknown) => () => generate(model, "a", { ...options, draft: draft as DraftOptions });
    expect(of({ from: "prompt", tokens: 16 })).toThrow(/whole number of 1 to 15, got 16/);
    expect(of({ from: "prompt", ngram: 0 })).toThrow(/draft.ngram/);
    expect(of({ from: "elsewhere" })).toThrow(/"prompt" or a model/);
    expect(of({ from: tinyModel({ vocabSize: 31 }) })).toThrow(/knows 31 tokens and the model 29/);
  });
});

describe("the latest earlier place of the last tokens", () => {
  test.each([
    [[5, 6, 7, 8, 5, 6], 2, 3, [7, 8]],
    [[1, 2, 3, 1, 2, 4, 1, 2], 3, 3, [4, 1, 2]],
    // Three tokens that have stood before count for more than a later place of two.
    [[1, 2, 3, 9, 2, 3, 8, 1, 2, 3], 1, 3, [9]],
    [[1, 2, 3, 9, 2, 3, 8, 1, 2, 3], 1, 2, [8]],
    [[4, 4, 4], 5, 3, [4, 4, 4, 4, 4]],
    [[7, 8, 7], 4, 3, [8, 7, 8, 7]],
    [[1, 2, 3], 5, 3, []],
    [[1], 5, 3, []],
  ])("of %j gives up to %i by %i: %j", (ids, most, ngram, expected) => {
    expect(continuation(ids, { most, ngram })).toEqual(expected);
  });
});

describe("the check of drawn guesses", () => {
  const VOCABULARY = 5;
  const DRAWS = 4000;
  const target = [
    [1.2, 0.1, -0.4, 0.7, -2],
    [0, 1, 0.5, -1, 0.2],
    [-0.3, 0.4, 0.9, 0.1, 0.6],
  ];
  const q = [
    [0.05, 0.45, 0.2, 0.2, 0.1],
    [0.3, 0.3, 0.05, 0.3, 0.05],
  ];

  /** Counts of the tokens at each place, over checks of guesses that are drawn by `q`, or of `certain` ones. */
  async function frequencies(how: GenerateOptions, certain?: readonly number[]): Promise<number[][]> {
    const generator = new Generator(11);
    using chooser = new Chooser(how, { vocabulary: VOCABULARY, device: tensor(0).device, rows: 1 });
    const logits = tensor(target);
    const probabilities = certain === undefined ? tensor(q) : undefined;
    const counts = target.map(() => Array<number>(VOCABULARY).fill(0));
    const uniforms = (await uniform([DRAWS, 7], { generator }).data()) as Float32Array;
    for (let draw = 0; draw < DRAWS; draw++) {
      const u = uniforms.subarray(draw * 7, draw * 7 + 7);
      const guesses = certain ?? q.map((row, i) => invert(row, u[5 + i]!));
      const drafts = tensor(Int32Array.from(guesses));
      const own = tensor(u.slice(0, 5));
      const { chosen, accepted } = verify(chooser, { logits, drafts, probabilities, uniform: own });
      const [ids, taken] = [chosen.ids.dataSync(), accepted.itemSync()];
      for (let i = 0; i <= taken; i++) counts[i]![Number(ids[i])]!++;
      for (const made of [drafts, own, chosen.ids, accepted]) made.dispose();
    }
    return counts;
  }

  const invert = (row: readonly number[], u: number): number => {
    let [at, sum] = [0, row[0]!];
    while (sum <= u && at < row.length - 1) sum += row[++at]!;
    return at;
  };

  /**
   * The places are independent here, as the scores do not depend on the tokens: each must have the distribution of the
   * model. Over counts n the statistic Σ (n − Np)² / Np has the distribution χ² with one less than the number of tokens
   * that can come: with 4 degrees of freedom it is above 18.5 once in a thousand times.
   */
  async function expectExact(how: GenerateOptions, certain?: readonly number[]): Promise<void> {
    const counts = await frequencies(how, certain);
    const exact = (await filtered(tensor(target), how).data()) as Float32Array;
    for (const [place, row] of counts.entries()) {
      const total = row.reduce((a, b) => a + b);
      expect(total).toBeGreaterThan(100);
      let chi = 0;
      for (const [id, n] of row.entries()) {
        const p = exact[place * VOCABULARY + id]!;
        if (p === 0) expect(n).toBe(0);
        else chi += (n - total * p) ** 2 / (total * p);
      }
      expect(chi, `place ${place}: ${row.join(", ")}`).toBeLessThan(18.5);
    }
  }

  test("gives the model's own distribution, by temperature and filters", async () => {
    await expectExact(options);
    await expectExact({ ...options, temperature: 0.6, topK: 4 });
  });

  test("does so with certain guesses", async () => {
    await expectExact(options, [1, 2]);
    await expectExact({ ...options, topK: 3 }, [0, 1]);
  });

  test("draws from a whole text with the distribution of plain draws", async () => {
    // The first two tokens of texts of a tiny vocabulary, against the exact probabilities of both together.
    const small = tinyModel({ vocabSize: 4, layers: 1 }, 3);
    const assistant = tinyModel({ vocabSize: 4, layers: 1 }, 8);
    const logits = (ids: number[]): Tensor =>
      (small.forward(tensor(Int32Array.from(ids), { shape: [1, ids.length] })).at(0, -1) as Tensor).softmax();
    const first = (await logits([1]).data()) as Float32Array;
    const exact: number[] = [];
    for (let a = 0; a < 4; a++) {
      for (const p of (await logits([1, a]).data()) as Float32Array) exact.push(first[a]! * p);
    }
    const texts = 1000;
    const counts = Array<number>(16).fill(0);
    for (let seed = 0; seed < texts; seed++) {
      const how = { ...options, maxTokens: 3, seed, capture: false, draft: { from: assistant, tokens: 2 } };
      const { ids } = await generate(small, [1], how).result();
      counts[ids[0]! * 4 + ids[1]!]!++;
    }
    const chi = exact.reduce((sum, p, i) => sum + (counts[i]! - texts * p) ** 2 / (texts * p), 0);
    // 15 degrees of freedom: above 37.7 once in a thousand times.
    expect(chi).toBeLessThan(37.7);
  });
});
