import { setTimeout as sleep } from "node:timers/promises";
import { checkpoint, valueAndGrad } from "@openelm/autograd";
import {
  autocast,
  concat,
  device,
  Generator,
  intercept,
  liveTensors,
  normal,
  OpError,
  randint,
  scope,
  type Tensor,
  tensor,
  withDefaults,
  zeros,
} from "@openelm/tensor";
import { gradCheck } from "@openelm/testing";
import "@openelm/testing/vitest";
import { afterEach, describe, expect, test } from "vitest";
import { type LossBatch, OpenELM } from "../src/index.js";
import { randomIds, TINY, tinyModel } from "./tiny.js";

/** Logits are of the size of 1; sums over other numbers of rows are in other orders. */
const ATOL = { atol: 1e-5, rtol: 0 };

const part = (x: Tensor, from: number, to: number): Tensor => x.at(":", `${from}:${to}`) as Tensor;

describe("OpenELM", () => {
  test("gives logits for every position, or the last alone", () => {
    const model = tinyModel();
    const logits = model.forward(randomIds([2, 7]));
    expect(logits.shape).toEqual([2, 7, 29]);
    const last = model.forward(randomIds([2, 7]), { last: true });
    expect(last).toBeAllClose(part(logits, 6, 7), ATOL);
    expect(() => model.forward(tensor([1, 2], { dtype: "i32" }))).toThrow(
      /ids must be \[batch, time\], got \[2\]/,
    );
  });

  test.each([
    ["tied", {}, "layers.2.ffn.proj2.weight"],
    ["untied", { tied: false }, "classifier.weight"],
  ])("that is %s has the parameters of its paths", (_, changes, path) => {
    const model = tinyModel(changes);
    expect(model.parameter(path).shape.length).toBe(2);
    expect([...model.namedParameters()].some(([name]) => name === "classifier.weight")).toBe(
      "tied" in changes,
    );
    const counted = model.parameters().reduce((sum, { size }) => sum + size, 0);
    expect(model.parameterCount()).toBe(counted);
  });

  test("runs on meta without memory for values", () => {
    const model = withDefaults({ device: "meta" }, () => new OpenELM("OpenELM-3B"));
    const ids = zeros([1, 3], { dtype: "i32", device: "meta" });
    expect(model.forward(ids).shape).toEqual([1, 3, 32000]);
  });

  test("gives the same logits in one pass, in chunks and token by token", () => {
    const model = tinyModel();
    const ids = randomIds([2, 12]);
    const whole = model.forward(ids);
    for (const chunks of [[12], [5, 4, 3], Array<number>(12).fill(1), [1, 11]]) {
      using cache = model.newCache({ batch: 2, capacity: 15 });
      let at = 0;
      const parts = chunks.map((time) => {
        at += time;
        return model.forward(part(ids, at - time, at), { cache });
      });
      expect(concat(parts, { axis: 1 })).toBeAllClose(whole, ATOL);
    }
  });

  test("goes on rightly after a cache was cropped", () => {
    const model = tinyModel();
    const ids = randomIds([1, 8]);
    using cache = model.newCache({ capacity: 8 });
    model.forward(randomIds([1, 8], 9), { cache });
    cache.crop(0);
    model.forward(part(ids, 0, 5), { cache });
    model.forward(randomIds([1, 3], 10), { cache });
    cache.crop(5);
    expect(model.forward(part(ids, 5, 8), { cache })).toBeAllClose(part(model.forward(ids), 5, 8), ATOL);
  });

  test("refuses a cache that is full, for another batch or of another model", () => {
    const model = tinyModel();
    using cache = model.newCache({ capacity: 4 });
    expect(() => model.forward(randomIds([1, 5]), { cache })).toThrow(/do not fit a capacity of 4/);
    expect(() => model.forward(randomIds([2, 3]), { cache })).toThrow(/a batch of 1.*the batch is 2/s);
    expect(() => tinyModel({ layers: 2 }).forward(randomIds([1, 3]), { cache })).toThrow(OpError);
    expect(cache.length).toBe(0);
    expect(model.forward(randomIds([1, 4]), { cache }).shape).toEqual([1, 4, 29]);
  });

  test("treats documents of a row as sequences of their own", () => {
    const model = tinyModel();
    const ids = randomIds([1, 9]);
    const documents = tensor([[0, 0, 0, 0, 1, 1, 1, 2, 2]], { dtype: "i32" });
    const together = model.forward(ids, { documents });
    for (const [from, to] of [
      [0, 4],
      [4, 7],
      [7, 9],
    ] as const) {
      expect(part(together, from, to)).toBeAllClose(model.forward(part(ids, from, to)), ATOL);
    }
  });

  test("gives rows of a batch the logits that they have alone", () => {
    const model = tinyModel();
    const ids = randomIds([3, 6]);
    const all = model.forward(ids);
    for (let row = 0; row < 3; row++) {
      const alone = model.forward(ids.at(`${row}:${row + 1}`) as Tensor);
      expect(all.at(`${row}:${row + 1}`) as Tensor).toBeAllClose(alone, ATOL);
    }
  });

  test("has a token out of the vocabulary fail at the reader, and works on", async () => {
    const model = tinyModel();
    const ids = tensor([[1, 29]], { dtype: "i32" });
    await expect((async () => model.forward(ids).data())()).rejects.toThrow();
    expect((await model.forward(randomIds([1, 2])).data()).every(Number.isFinite)).toBe(true);
    await expect(device("cpu").synchronize()).rejects.toThrow(/embedding/);
  });
});

describe("loss", () => {
  test("is the cross-entropy of the logits, over the targets that count", async () => {
    const model = tinyModel({ paddingIndex: 28 });
    const inputs = tensor([[1, 2, 3, 28]], { dtype: "i32" });
    const targets = tensor([[2, 3, 28, 28]], { dtype: "i32" });
    const rows = (await model.forward(inputs).logSoftmax().array()) as number[][][];
    const expected = -(rows[0]![0]![2]! + rows[0]![1]![3]!) / 2;
    expect(await model.loss({ inputs, targets }).loss.item()).toBeCloseTo(expected, 5);
    expect(await model.loss({ inputs, targets, tokens: 4 }).loss.item()).toBeCloseTo(expected / 2, 5);
    const all = tensor([[28, 28, 28, 28]], { dtype: "i32" });
    expect(await model.loss({ inputs, targets: all }).loss.item()).toBe(0);
  });

  test("has the gradient that differences give, for every kind of parameter", () => {
    const model = withDefaults(
      { dtype: "f64", seed: 2 },
      () => new OpenELM({ ...TINY, layers: 2, tied: false }),
    );
    const batch: LossBatch = { inputs: randomIds([2, 5]), targets: randomIds([2, 5], 4) };
    const parameters = model.parameters();
    const values = parameters.map(({ shape }, i) =>
      shape.length === 1
        ? normal(shape, { mean: 1, std: 0.1, dtype: "f64", generator: new Generator(i) })
        : normal(shape, { std: shape[1]! ** -0.5, dtype: "f64", generator: new Generator(i) }),
    );
    gradCheck((...weights) => {
      for (const [i, parameter] of parameters.entries()) parameter.value = weights[i]!.mul(1);
      return model.loss(batch, { zLoss: 1e-3 }).loss;
    }, values);
  });

  test("adds the look-up's gradient to the head's where they are tied", () => {
    const [tied, untied] = [tinyModel(), tinyModel({ tied: false })];
    untied.classifier!.weight.value = tied.tokenEmbeddings.weight.value.mul(1);
    const batch = { inputs: randomIds([2, 5]), targets: randomIds([2, 5], 4) };
    const lossAndGrad = valueAndGrad((m: OpenELM) => m.loss(batch).loss);
    const [one, two] = [lossAndGrad(tied).grads, lossAndGrad(untied).grads];
    const sum = two.get("tokenEmbeddings.weight")!.add(two.get("classifier.weight")!);
    expect(one.get("tokenEmbeddings.weight")!).toBeAllClose(sum, { atol: 1e-6 });
  });
});

describe("the residual stream", () => {
  const ids = randomIds([2, 9]);

  test("is normed in the pass that adds to it, but for the start", () => {
    const model = tinyModel();
    const counts = new Map<string, number>();
    intercept(
      (op, _inputs, _attrs, execute) => {
        counts.set(op.name, (counts.get(op.name) ?? 0) + 1);
        return execute(op.publicMask);
      },
      () => model.forward(ids),
    );
    const norms = ["add", "rms_norm", "add_rms_norm"].map((name) => counts.get(name) ?? 0);
    expect(norms).toEqual([0, 1, 2 * TINY.layers!]);
  });

  test.each(["off", "bf16"] as const)("is what layers give one by one, autocast %s", (precision) => {
    const model = tinyModel();
    const alone = autocast(precision, () => {
      const start = model.tokenEmbeddings.forward(ids);
      return model.norm.forward(model.layers.reduce((x, layer) => layer.forward(x), start));
    });
    const carried = autocast(precision, () => model.hidden(ids));
    expect(carried.dtype).toBe(precision === "off" ? "f32" : "bf16");
    expect(carried.dataSync()).toEqual(alone.to(carried.dtype).dataSync());
  });

  test.each(["off", "bf16"] as const)(
    "has its gradient from layers that are computed again, autocast %s",
    (precision) => {
      const model = tinyModel();
      const gradients = (again: boolean): unknown => {
        const f = (m: OpenELM): Tensor => {
          const blocks = m.layers.map((layer) => {
            const block = (x: Tensor): Tensor => layer.forward(x);
            return again ? checkpoint(block, { parameters: layer }) : block;
          });
          const last = blocks.reduce((x, block) => block(x), m.tokenEmbeddings.forward(ids));
          return m.norm.forward(last).square().sum();
        };
        const { grads } = autocast(precision, () => valueAndGrad(f)(model));
        return [...model.namedParameters()].map(([path]) => [path, grads.get(path)!.dataSync()]);
      };
      expect(gradients(true)).toEqual(gradients(false));
    },
  );
});

describe("initial values", () => {
  test("have the spread of their kind", async () => {
    const config = {
      ...TINY,
      layers: 4,
      modelDim: 128,
      headDim: 32,
      vocabSize: 500,
      attention: 0.5,
      feedForward: 2,
    };
    const model = withDefaults({ seed: 7 }, () => new OpenELM({ ...config, tied: false }));
    const residual = 128 ** -0.5 * 8 ** -0.5;
    for (const [path, { shape, value }] of model.namedParameters()) {
      const numbers = Array.from(await value.data(), Number);
      if (path.toLowerCase().endsWith("norm.weight")) {
        expect(new Set(numbers), path).toEqual(new Set([1]));
        continue;
      }
      const expected = /outProj|proj2/.test(path) ? residual : shape[1]! ** -0.5;
      const mean = numbers.reduce((a, b) => a + b, 0) / numbers.length;
      const std = Math.sqrt(numbers.reduce((a, b) => a + (b - mean) ** 2, 0) / numbers.length);
      // Five standard errors of the deviation and of the mean.
      expect(Math.abs(std / expected - 1), path).toBeLessThan(5 / Math.sqrt(2 * numbers.length));
      expect(Math.abs(mean), path).toBeLessThan((5 * expected) / Math.sqrt(numbers.length));
    }
  });
});

/** Plain gradient descent, so that models need no optimizer. */
function trainStep(model: OpenELM, batch: LossBatch): Tensor {
  return scope(() => {
    const { value, grads } = valueAndGrad((m: OpenELM) => m.loss(batch).loss)(model);
    for (const [path, parameter] of model.namedParameters()) {
      parameter.value = parameter.value.sub(grads.get(path)!.mul(0.5));
    }
    return value;
  });
}

describe("training", () => {
  const cpu = device("cpu");
  const { threads } = cpu.stats();
  afterEach(() => cpu.setThreads(threads));

  test("gives the same bits at any number of threads", async () => {
    const config = {
      layers: 2,
      modelDim: 64,
      headDim: 16,
      vocabSize: 300,
      attention: [0.5, 1],
      feedForward: [1, 2],
    };
    const ids = (seed: number): Tensor => randint([4, 48], 0, 300, { generator: new Generator(seed) });
    const train = async (count: number): Promise<Uint8Array[]> => {
      cpu.setThreads(count);
      const model = tinyModel(config);
      for (let step = 0; step < 3; step++) trainStep(model, { inputs: ids(step), targets: ids(step + 9) });
      return Promise.all(model.parameters().map(({ value }) => value.bytes()));
    };
    const expected = await train(1);
    for (const count of [2, 3, 5]) expect(await train(count), `${count} threads`).toEqual(expected);
  });

  test("learns, and leaves no tensor behind in 200 steps", async () => {
    const model = tinyModel();
    const batch = { inputs: randomIds([2, 8]), targets: randomIds([2, 8], 4) };
    const first = await trainStep(model, batch).item();
    let live = 0;
    let last = first;
    for (let step = 0; step < 200; step++) {
      using loss = trainStep(model, batch);
      if (step % 20 === 0) last = await loss.item();
      if (step === 20) live = liveTensors();
    }
    expect(last).toBeLessThan(first / 2);
    expect(liveTensors()).toBeLessThanOrEqual(live);
  });

  test("leaves the event loop free", async () => {
    const model = tinyModel({ layers: 4, modelDim: 256, headDim: 32, vocabSize: 2000, feedForward: 4 });
    const ids = (seed: number): Tensor => randint([8, 256], 0, 2000, { generator: new Generator(seed) });
    const batch = { inputs: ids(1), targets: ids(2) };
    model.initialize();
    await cpu.synchronize();
    let ticks = 0;
    const timer = setInterval(() => ticks++, 2);
    const started = performance.now();
    const done = trainStep(model, batch).item();
    const enqueued = performance.now() - started;
    await done;
    const took = performance.now() - started;
    await sleep(0);
    clearInterval(timer);
    // The step takes long enough to tell, most of it while timers run.
    expect(took).toBeGreaterThan(50);
    expect(enqueued).toBeLessThan(took / 2);
    expect(ticks).toBeGreaterThan(took / 40);
  });
});
