import { valueAndGrad } from "@openelm/autograd";
import { ConfigError } from "@openelm/native";
import { keep, liveTensors, scope, type Tensor, tensor, UsageError, zeros } from "@openelm/tensor";
import { settledTensors } from "@openelm/testing";
import { beforeAll, describe, expect, test } from "vitest";
import { type CausalModel, generate, type OpenELM } from "../src/index.js";
import { letters, randomIds, tinyModel } from "./tiny.js";

/** A model whose next token is the one that `next` names; it records what it was asked. */
function scripted(next: (position: number, last: number) => number, maxContextLength = 64): CausalModel {
  const { config, newCache } = inner;
  return {
    config: { ...config, maxContextLength },
    newCache: (options) => newCache.call(inner, options),
    forward: (ids, { cache }) => {
      const time = ids.shape[1]!;
      cache.advance(time);
      const last = Number((ids.arraySync() as number[][])[0]!.at(-1));
      const scores = new Float32Array(29);
      scores[next(cache.length, last)] = 50;
      return tensor(scores, { shape: [1, 1, 29] });
    },
  };
}

const inner = tinyModel();

/** Writes the given ids, whatever the prompt is. */
const writer = (ids: readonly number[], promptTokens: number, context = 64): CausalModel =>
  scripted((position) => ids[position - promptTokens] ?? 2, context);

const id = (text: string): number[] => [...text].map((c) => c.charCodeAt(0) - 97);
const options = { tokenizer: letters, temperature: 0, addBos: false, stopIds: [28] };

describe("generate", () => {
  test("streams pieces that make up the result", async () => {
    const make = () =>
      generate(tinyModel(), "abc", { tokenizer: letters, maxTokens: 12, seed: 4, stopIds: [] });
    const result = await make().result();
    let text = "";
    const ids: number[] = [];
    for await (const event of make()) {
      text += event.text;
      if (event.id >= 0) ids.push(event.id);
    }
    expect(text).toBe(result.text);
    expect(ids).toEqual(result.ids);
    expect(result).toMatchObject({
      finishReason: "length",
      usage: { promptTokens: 4, completionTokens: 12 },
    });
  });

  test("of temperature 0 is the best token of full passes", async () => {
    const model = tinyModel();
    const { ids } = await generate(model, "hello", { ...options, maxTokens: 8, stopIds: [] }).result();
    const all = id("hello");
    for (const next of ids) {
      const logits = model.forward(tensor(Int32Array.from(all), { shape: [1, all.length] }));
      expect(next).toBe(await (logits.at(0, -1) as Tensor).argmax().item());
      all.push(next);
    }
  });

  test("of the same seed is the same, of another another", async () => {
    const run = async (seed: number): Promise<string> =>
      (
        await generate(tinyModel(), "ab", {
          ...options,
          temperature: 1,
          maxTokens: 20,
          stopIds: [],
          seed,
        }).result()
      ).ids.join();
    expect(await run(1)).toBe(await run(1));
    expect(await run(2)).not.toBe(await run(1));
  });

  test("ends at the end-of-text token, and at a number of tokens", async () => {
    const stopped = await generate(writer([...id("xyz"), 28, 0], 1), "a", options).result();
    expect(stopped).toEqual({
      text: "xyz",
      ids: id("xyz"),
      tokens: id("xyz").map((token) => ({ id: token })),
      finishReason: "stop",
      usage: { promptTokens: 1, completionTokens: 3 },
    });
    const cut = await generate(writer(id("xyz"), 1), "a", { ...options, maxTokens: 2 }).result();
    expect(cut).toMatchObject({ text: "xy", finishReason: "length" });
  });

  test("ends before a stop text, also one that several tokens make up", async () => {
    const model = () => writer([...id("onetwothree"), 28], 1);
    for (const [stop, text] of [
      ["two", "one"],
      [["three", "twx", "wo"], "onet"],
      ["one", ""],
      ["absent", "onetwothree"],
      ["threefold", "onetwothree"],
      ["", "onetwothree"],
    ] as const) {
      const pieces: string[] = [];
      for await (const event of generate(model(), "a", { ...options, stop })) pieces.push(event.text);
      expect(pieces.join(""), String(stop)).toBe(text);
      const result = await generate(model(), "a", { ...options, stop }).result();
      expect(result.finishReason).toBe("stop");
      expect(result.text).toBe(text);
    }
    // Tokens of the stop text count as made.
    const { usage } = await generate(model(), "a", { ...options, stop: "two" }).result();
    expect(usage.completionTokens).toBe(6);
  });

  test("gives a character of two tokens with the second, and flushes a broken one", async () => {
    const whole: string[] = [];
    for await (const { text } of generate(writer([0, 26, 27, 1, 28], 1), "a", options)) whole.push(text);
    expect(whole).toEqual(["a", "", "é", "b"]);
    const broken = await generate(writer([0, 26, 28], 1), "a", options).result();
    expect(broken.text).toBe("a\uFFFD");
    expect(broken.ids).toEqual([0, 26]);
    // The stop text may also come with the flush.
    const flushed = await generate(writer([0, 26], 1), "a", {
      ...options,
      maxTokens: 2,
      stop: "\uFFFD",
    }).result();
    expect(flushed).toMatchObject({ text: "a", finishReason: "stop" });
  });

  test("stays within the model's context", async () => {
    const result = await generate(writer(id("bcdefghij"), 3, 8), "abc", options).result();
    expect(result).toMatchObject({ text: "bcdef", finishReason: "length" });
    const full = generate(writer([], 8, 8), "abcdefgh", options).result();
    await expect(full).rejects.toThrow(/8 tokens, which leaves no room in the model's context of 8/);
  });

  test("begins with the begin-of-text token, unless told not to", async () => {
    const { usage } = await generate(tinyModel(), "", { tokenizer: letters, maxTokens: 1 }).result();
    expect(usage.promptTokens).toBe(1);
    const empty = generate(tinyModel(), "", options).result();
    await expect(empty).rejects.toThrow(/an empty prompt needs addBos/);
    const ids = await generate(tinyModel(), Int32Array.of(3, 4), { ...options, maxTokens: 1 }).result();
    expect(ids.usage.promptTokens).toBe(2);
  });

  test("refuses tokens that the model does not know", async () => {
    for (const wrong of [29, -1, 1.5]) {
      const result = generate(tinyModel(), [1, wrong], options).result();
      await expect(result).rejects.toThrow(`token ${wrong}, but the model knows 0 to 28`);
    }
  });

  test.each([
    { maxTokens: 0 },
    { maxTokens: 1.5 },
    { temperature: -1 },
    { temperature: Number.NaN },
    { topK: 0 },
    { topP: 0 },
    { topP: 1.5 },
    { minP: 2 },
    { repetitionPenalty: 0 },
    { seed: -1 },
    { logprobs: -1 },
    { prefillChunk: 0 },
    { presencePenalty: Number.NaN },
    { frequencyPenalty: Number.POSITIVE_INFINITY },
    { logitBias: { [-1]: 1 } },
    { logitBias: { 3: Number.POSITIVE_INFINITY } },
  ])("refuses %j at the call", (wrong) => {
    expect(() => generate(tinyModel(), "a", { tokenizer: letters, ...wrong })).toThrow(ConfigError);
    expect(() => generate(tinyModel(), "a", { tokenizer: letters, ...wrong })).toThrow(Object.keys(wrong)[0]);
  });

  test("can be read once", async () => {
    const generation = generate(tinyModel(), "a", { ...options, maxTokens: 1 });
    await generation.result();
    await expect(generation.result()).rejects.toThrow(UsageError);
  });
});

describe("memory and ambient state", () => {
  const model = tinyModel({ maxContextLength: 256 });
  beforeAll(async () => {
    model.initialize();
    await generate(model, "a", { ...options, maxTokens: 2 }).result();
  });

  test("200 tokens leave no tensor behind", async () => {
    const all = { tokenizer: letters, stopIds: [], topK: 5, topP: 0.9, minP: 0.01, repetitionPenalty: 1.2 };
    // The numbers among the options stay as scalars once they were used.
    await generate(model, "abc", { ...all, maxTokens: 2 }).result();
    const before = await settledTensors();
    const during: number[] = [];
    let made = 0;
    for await (const _ of generate(model, "abc", { ...all, maxTokens: 200 })) {
      if (++made % 25 === 0) during.push(liveTensors());
    }
    expect(made).toBe(200);
    expect(new Set(during).size).toBe(1);
    expect(liveTensors()).toBe(before);
  });

  test("leaving the loop frees the cache", async () => {
    const before = await settledTensors();
    for await (const { id: token } of generate(model, "abc", { ...options, maxTokens: 50, stopIds: [] })) {
      expect(liveTensors()).toBeGreaterThan(before);
      if (token >= 0) break;
    }
    expect(liveTensors()).toBe(before);
  });

  test("an abort rejects with its reason and frees the cache", async () => {
    const before = await settledTensors();
    const controller = new AbortController();
    const reason = new Error("enough");
    const generation = generate(model, "abc", { ...options, stopIds: [], signal: controller.signal });
    const read = async (): Promise<number> => {
      let count = 0;
      for await (const _ of generation) if (++count === 3) controller.abort(reason);
      return count;
    };
    await expect(read()).rejects.toBe(reason);
    expect(liveTensors()).toBe(before);
    const late = generate(model, "abc", { ...options, signal: controller.signal }).result();
    await expect(late).rejects.toBe(reason);
    expect(liveTensors()).toBe(before);
  });

  test("a model that fails frees the cache", async () => {
    const before = await settledTensors();
    const failing: CausalModel = {
      ...writer([], 1),
      forward: () => {
        throw new RangeError("no");
      },
    };
    await expect(generate(failing, "a", options).result()).rejects.toThrow("no");
    expect(liveTensors()).toBe(before);
  });

  test("a generation started while gradients are recorded is no part of them", async () => {
    const alone = await generate(model, [3], { ...options, maxTokens: 3, stopIds: [] }).result();
    let pending: Promise<unknown> | undefined;
    const { value } = valueAndGrad((m: OpenELM) => {
      pending = generate(m, [3], { ...options, maxTokens: 3, stopIds: [] }).result();
      return m.norm.weight.value.sum();
    })(model);
    expect(await value.item()).toBe(24);
    expect(await pending).toEqual(alone);
  });

  test("two generations and a training loop beside each other free nothing of each other", async () => {
    const [served, trained] = [tinyModel(), tinyModel({}, 5)];
    const request = (seed: number) =>
      generate(served, "abc", { tokenizer: letters, maxTokens: 25, stopIds: [], seed }).result();
    const alone = [await request(1), await request(2)];
    const batch = { inputs: randomIds([2, 6]), targets: randomIds([2, 6], 8) };
    const train = async (model: OpenELM): Promise<number[]> => {
      const losses: number[] = [];
      for (let step = 0; step < 15; step++) {
        const loss = scope(() => {
          const { value, grads } = valueAndGrad((m: OpenELM) => m.loss(batch).loss)(model);
          for (const [path, parameter] of model.namedParameters()) {
            parameter.value = parameter.value.sub(grads.get(path)!.mul(0.1));
          }
          return value;
        });
        losses.push(await loss.item());
      }
      return losses;
    };
    const lossesAlone = await train(tinyModel({}, 5));
    const [first, second, losses] = await Promise.all([request(1), request(2), train(trained)]);
    expect([first, second]).toEqual(alone);
    expect(losses).toEqual(lossesAlone);
  });

  test("a model that gives no numbers is an error, not a token", async () => {
    const broken = tinyModel();
    broken.norm.weight.value = keep(zeros([24]).div(0));
    const result = generate(broken, "a", { ...options, temperature: 1, maxTokens: 3 }).result();
    await expect(result).rejects.toThrow();
  });
});
