import { logSoftmax, type Tensor, tensor, UsageError } from "@openelm/tensor";
import { describe, expect, test } from "vitest";
import { rowsOf, windowsOf } from "../src/evaluate/windows.js";
import { type OpenELM, perplexity } from "../src/index.js";
import { randomIds, TINY, tinyModel } from "./tiny.js";

const text = (length: number, seed: number): Int32Array => randomIds([length], seed).dataSync() as Int32Array;

/** Log-probabilities `[time, vocabulary]` of one text as a whole. */
const logProbs = (model: OpenELM, ids: Int32Array): number[][] => {
  const logits = model.forward(tensor(ids, { shape: [1, ids.length], dtype: "i32" }));
  return (logSoftmax(logits.to("f64")).reshape([ids.length, -1]) as Tensor).arraySync() as number[][];
};

describe("perplexity", () => {
  const [model, other] = [tinyModel().eval(), tinyModel({}, 2).eval()];
  const texts = [text(40, 1), text(1, 2), text(2, 3), text(23, 4), text(0, 5)];

  test("is exp of the mean negative log-likelihood of all tokens but the first of each text", async () => {
    const [nll, count] = [0, 0].map(() => [] as number[]) as [number[], number[]];
    for (const ids of texts.filter(({ length }) => length > 1)) {
      const p = logProbs(model, ids);
      for (let i = 1; i < ids.length; i++) nll.push(-p[i - 1]![ids[i]!]!);
      count.push(ids.length - 1);
    }
    const nats = nll.reduce((a, b) => a + b) / nll.length;
    const result = await perplexity(model, texts, { bytes: 100 });
    expect(result.tokens).toBe(count.reduce((a, b) => a + b));
    expect(result.nats).toBeCloseTo(nats, 5);
    expect(result.perplexity).toBeCloseTo(Math.exp(nats), 3);
    expect(result.bitsPerByte).toBeCloseTo((nats * nll.length) / Math.LN2 / 100, 5);
    expect(result).toMatchObject({ window: 64, stride: 32, against: undefined });
  });

  test("scores tokens of long texts once, each after at least window - stride tokens", async () => {
    const ids = text(50, 7);
    const [window, stride] = [16, 6];
    let sum = 0;
    for (let i = 1; i < ids.length; i++) {
      // The window that a token is scored in is the first that reaches it.
      const start = i < window ? 0 : Math.ceil((i + 1 - window) / stride) * stride;
      expect(i - start).toBeGreaterThanOrEqual(i < window ? i : window - stride);
      sum -= logProbs(model, ids.slice(start, Math.min(start + window, ids.length)))[i - 1 - start]![
        ids[i]!
      ]!;
    }
    const result = await perplexity(model, [ids], { window, stride });
    expect(result.tokens).toBe(ids.length - 1);
    expect(result.nats).toBeCloseTo(sum / (ids.length - 1), 5);
  });

  test("tells the divergence from another model, and where both expect the same", async () => {
    const [p, q] = [other, model].map((each) => logProbs(each, texts[0]!)) as [number[][], number[][]];
    const best = (row: number[]): number => row.indexOf(Math.max(...row));
    let [kl, agreed] = [0, 0];
    for (let i = 0; i < 39; i++) {
      kl += p[i]!.reduce((sum, value, j) => sum + Math.exp(value) * (value - q[i]![j]!), 0);
      agreed += best(p[i]!) === best(q[i]!) ? 1 : 0;
    }
    const { against } = await perplexity(model, [texts[0]!], { against: other });
    expect(against!.kl).toBeCloseTo(kl / 39, 5);
    expect(against!.agreement).toBeCloseTo(agreed / 39, 6);
    const alone = await perplexity(other, [texts[0]!]);
    expect(against!.nats).toBeCloseTo(alone.nats, 6);
    const same = await perplexity(model, [texts[0]!], { against: model });
    expect(same.against).toMatchObject({ kl: 0, agreement: 1, nats: same.nats });
  });

  test("reports how far it is, stops, and leaves the models' mode as it was", async () => {
    const steps: number[] = [];
    const training = tinyModel().train();
    await perplexity(training, texts, { window: 16, onProgress: ({ done }) => steps.push(done) });
    expect(training.training).toBe(true);
    expect(steps.at(-1)).toBe(39 + 1 + 22);
    expect(steps.length).toBeGreaterThan(2);
    const signal = AbortSignal.abort(new Error("stopped"));
    await expect(perplexity(model, texts, { signal })).rejects.toThrow("stopped");
  });

  test.each([
    [{}, [text(1, 1)], /nothing can be scored/],
    [{}, [Int32Array.of(1, TINY.vocabSize)], /none with the number 29/],
    [{ window: 65 }, texts, /window must be 2 to the 64 tokens/],
    [{ window: 8, stride: 8 }, texts, /stride must be at least 1 and less than the window of 8/],
    [{ against: tinyModel({ vocabSize: 30 }) }, texts, /29 and 30 tokens/],
  ])("refuses %j", async (options, ids, message) => {
    await expect(perplexity(model, ids, options)).rejects.toThrow(UsageError);
    await expect(perplexity(model, ids, options)).rejects.toThrow(message);
  });
});

test("windows cover a text, and rows hold as many as fit", () => {
  const windows = windowsOf(
    Int32Array.from({ length: 10 }, (_, i) => i),
    4,
    3,
  );
  expect(windows.map(({ ids, from }) => [[...ids], from])).toEqual([
    [[0, 1, 2, 3], 1],
    [[3, 4, 5, 6], 1],
    [[6, 7, 8, 9], 1],
  ]);
  const short = [2, 2, 3, 1, 4].map((length) => ({ ids: new Int32Array(length), from: 1 }));
  expect(rowsOf(short, 4).map((row) => row.map(({ ids }) => ids.length))).toEqual([[2, 2], [3, 1], [4]]);
});
