//! Recorded steps, tokens that are read late, prompts in pieces and side by side.
import "@openelm/testing/vitest";
import { liveTensors, type Tensor, tensor } from "@openelm/tensor";
import { settledTensors } from "@openelm/testing";
import { describe, expect, test } from "vitest";
import { type CausalModel, generate, generateBatch, PromptCache, prefill } from "../src/index.js";
import { letters, tinyModel } from "./tiny.js";

const model = tinyModel({ maxContextLength: 128 });
const options = { tokenizer: letters, stopIds: [], addBos: false, maxTokens: 24 };
const sampled = { ...options, topK: 9, topP: 0.95, minP: 0.01 };
const penalized = {
  repetitionPenalty: 1.3,
  presencePenalty: 0.2,
  frequencyPenalty: 0.1,
  logitBias: { 3: -1 },
};

describe("a recorded step", () => {
  test.each([
    ["greedy", { ...options, temperature: 0 }],
    ["drawn", { ...sampled, seed: 5 }],
    ["with penalties", { ...sampled, ...penalized, seed: 6 }],
    ["with logprobs", { ...sampled, ...penalized, logprobs: 3 }],
  ])("gives the text of one that is run each time: %s", async (_, how) => {
    const run = (capture: boolean) => generate(model, "abcab", { ...how, capture }).result();
    expect(await run(true)).toEqual(await run(false));
  });

  test("is left for plain calls where the model cannot be recorded", async () => {
    const reading: CausalModel = {
      config: model.config,
      newCache: (sizes) => model.newCache(sizes),
      forward: (ids, context) => {
        ids.dataSync();
        return model.forward(ids, context);
      },
    };
    const how = { ...sampled, ...penalized, capture: true };
    const before = await settledTensors();
    const text = await generate(reading, "abcab", how).result();
    expect(liveTensors()).toBe(before);
    expect(text).toEqual(await generate(model, "abcab", how).result());
  });
});

describe("logprobs", () => {
  test("are those of the model, whatever is drawn", async () => {
    const how = { ...options, maxTokens: 6, logprobs: 2, temperature: 3, logitBias: { 4: 2 }, seed: 2 };
    const { tokens, ids } = await generate(model, "hello", how).result();
    const all = [..."hello"].map((c) => c.charCodeAt(0) - 97);
    for (const [i, token] of tokens.entries()) {
      const logits = model.forward(
        tensor(Int32Array.from([...all, ...ids.slice(0, i)]), { shape: [1, 5 + i] }),
      );
      const expected = (await (logits.at(0, -1) as Tensor).logSoftmax().data()) as Float32Array;
      expect(token.logprob).toBeCloseTo(expected[token.id]!, 4);
      const order = [...expected.keys()].sort((a, b) => expected[b]! - expected[a]!);
      expect(token.top?.map(({ id }) => id)).toEqual(order.slice(0, 2));
      expect(token.top?.[0]?.logprob).toBeCloseTo(expected[order[0]!]!, 4);
    }
  });

  test("of the token alone come without the likeliest ones", async () => {
    const { tokens } = await generate(model, "a", { ...options, maxTokens: 2, logprobs: 0 }).result();
    expect(tokens[0]!.logprob).toBeLessThan(0);
    expect(tokens[0]).not.toHaveProperty("top");
  });
});

describe("prefill", () => {
  const rows = ["abcdefgh", "xyz", "klmno"].map((text) => [...text].map((c) => c.charCodeAt(0) - 97));

  test.each([1, 2, 3, 5, 8])("in pieces of %i gives the logits of one pass", async (chunk) => {
    const [ids] = rows as [number[]];
    using whole = model.newCache({ capacity: 16 });
    using pieces = model.newCache({ capacity: 16 });
    const expected = await prefill(model, [ids], { cache: whole });
    const got = await prefill(model, [ids], { cache: pieces, chunk });
    expect(got).toBeAllClose(expected, { atol: 1e-5 });
    expect(pieces.length).toBe(8);
    // And goes on as that does.
    const next = await prefill(model, [[3, 4]], { cache: pieces, chunk });
    expect(next).toBeAllClose(await prefill(model, [[3, 4]], { cache: whole }), { atol: 1e-5 });
  });

  test.each([undefined, 1, 2, 3, 4])(
    "of rows of different lengths gives each row's own logits, pieces of %s",
    async (chunk) => {
      using cache = model.newCache({ batch: 3, capacity: 16 });
      const got = await prefill(model, rows, { cache, chunk });
      expect(cache.lengths).toEqual([8, 3, 5]);
      const more = [[1, 2], [3], [4, 5, 6]];
      const next = await prefill(model, more, { cache, chunk });
      for (const [row, ids] of rows.entries()) {
        using own = model.newCache({ capacity: 16 });
        expect(got.at(row) as Tensor).toBeAllClose(
          (await prefill(model, [ids], { cache: own })).at(0) as Tensor,
          { atol: 1e-5 },
        );
        const expected = await prefill(model, [more[row]!], { cache: own });
        expect(next.at(row) as Tensor).toBeAllClose(expected.at(0) as Tensor, { atol: 1e-5 });
      }
    },
  );

  test("in pieces is an option of generation", async () => {
    const prompt = "abcdefghijklm";
    const whole = await generate(model, prompt, sampled).result();
    expect(await generate(model, prompt, { ...sampled, prefillChunk: 4 }).result()).toEqual(whole);
  });
});

describe("several prompts side by side", () => {
  const prompts = ["abc", "hello", "z", "abcdefghijk"];

  test.each([
    ["greedy", { ...options, temperature: 0 }],
    ["drawn", { ...sampled, ...penalized, seed: 3, logprobs: 2 }],
  ])("give the texts that each gives alone: %s", async (_, how) => {
    const together = await generateBatch(model, prompts, how).results();
    for (const [i, prompt] of prompts.entries()) {
      const seed = ("seed" in how ? how.seed : 0) + i;
      const alone = await generate(model, prompt, { ...how, seed }).result();
      expect(together[i]!.ids).toEqual(alone.ids);
      expect(together[i]).toMatchObject({ text: alone.text, usage: alone.usage });
    }
  });

  test("end each for itself, at a stop text and at the context", async () => {
    const how = { ...sampled, maxTokens: 200, seed: 1 };
    const [free] = await generateBatch(model, ["abc"], how).results();
    const stop = free!.text.slice(5, 8);
    const results = await generateBatch(model, ["abc", "abcdef"], { ...how, stop }).results();
    expect(results[0]).toMatchObject({
      text: free!.text.slice(0, free!.text.indexOf(stop)),
      finishReason: "stop",
    });
    const alone = await generate(model, "abcdef", { ...how, seed: 2, stop }).result();
    expect(results[1]).toMatchObject({ text: alone.text, finishReason: alone.finishReason });
    const [, long] = await generateBatch(model, ["a", "abcdefgh"], { ...options, maxTokens: 200 }).results();
    expect(long).toMatchObject({ finishReason: "length", usage: { completionTokens: 120 } });
  });

  test("leave no tensor behind, also when the loop is left", async () => {
    await generateBatch(model, prompts, sampled).results();
    const before = await settledTensors();
    for await (const { index } of generateBatch(model, prompts, sampled)) if (index === 2) break;
    expect(liveTensors()).toBe(before);
    await generateBatch(model, prompts, sampled).results();
    expect(liveTensors()).toBe(before);
  });

  test("need at least one", () => {
    expect(() => generateBatch(model, [], options)).toThrow(/there must be a prompt/);
  });
});

describe("a prompt cache", () => {
  test("spares what a prompt has in common with the text before, and changes nothing", async () => {
    using promptCache = PromptCache.empty(model);
    const first = await generate(model, "abcdef", { ...sampled, promptCache }).result();
    // The last token was made, not read.
    expect(promptCache.ids).toEqual([...[0, 1, 2, 3, 4, 5], ...first.ids].slice(0, -1));
    const longer = Int32Array.from([0, 1, 2, 3, 4, 5, ...first.ids, 7, 8]);
    const second = await generate(model, longer, { ...sampled, seed: 4, promptCache }).result();
    const { cachedTokens, ...usage } = second.usage;
    expect(cachedTokens).toBe(29);
    expect({ ...second, usage }).toEqual(await generate(model, longer, { ...sampled, seed: 4 }).result());
    const other = await generate(model, "abx", { ...sampled, promptCache }).result();
    expect(other.usage.cachedTokens).toBe(2);
    // The last token is read again where all are known.
    const same = await generate(model, "abx", { ...sampled, promptCache }).result();
    expect(same.usage.cachedTokens).toBe(2);
    expect(same.ids).toEqual(other.ids);
  });

  test("keeps the recorded step for the next text, with nothing of the last one", async () => {
    using promptCache = PromptCache.empty(model);
    const how = { ...sampled, ...penalized, promptCache };
    const alone = async (prompt: string, options: object) =>
      (await generate(model, prompt, { ...sampled, ...penalized, ...options }).result()).ids;
    for (const [prompt, other] of [
      ["abc", {}],
      ["xyz", { seed: 2 }],
      ["abc", { seed: 3 }],
      ["abc", { seed: 3, temperature: 0.5 }],
      ["abc", { seed: 3, logitBias: { 4: Number.NEGATIVE_INFINITY } }],
    ] as const) {
      const { ids } = await generate(model, prompt, { ...how, ...other }).result();
      expect(ids).toEqual(await alone(prompt, other));
    }
    const before = await settledTensors();
    await generate(model, "abcd", { ...how, seed: 5 }).result();
    await generate(model, "abcd", { ...how, seed: 6 }).result();
    expect(liveTensors()).toBe(before);
  });

  test("holds the text only, wherever the loop is left or a stop is found late", async () => {
    using promptCache = PromptCache.empty(model);
    const whole = await generate(model, "abc", sampled).result();
    let made = 0;
    for await (const _ of generate(model, "abc", { ...sampled, promptCache })) if (++made === 5) break;
    expect(promptCache.ids).toEqual([0, 1, 2, ...whole.ids.slice(0, 5)]);
    const stopId = whole.ids[8]!;
    const at = whole.ids.indexOf(stopId);
    await generate(model, "abc", { ...sampled, stopIds: [stopId], promptCache }).result();
    expect(promptCache.ids).toEqual([0, 1, 2, ...whole.ids.slice(0, at)]);
    expect(promptCache.cache.length).toBe(promptCache.ids.length);
    const again = await generate(model, "abc", { ...sampled, promptCache }).result();
    expect(again.ids).toEqual(whole.ids);
  });

  test("is for one generation at a time, and for as much as it holds", async () => {
    using promptCache = PromptCache.empty(model, 16);
    await expect(generate(model, "abc", { ...options, promptCache }).result()).rejects.toThrow(
      /do not fit its capacity of 16/,
    );
    const how = { ...options, maxTokens: 8, promptCache };
    const first = generate(model, "abc", how)[Symbol.asyncIterator]();
    await first.next();
    await expect(generate(model, "abc", how).result()).rejects.toThrow(/another generation uses it/);
    expect(() => promptCache.crop(0)).toThrow(/a generation uses it/);
    await first.return?.();
    promptCache.crop(0);
    expect(promptCache.ids).toEqual([]);
  });
});
