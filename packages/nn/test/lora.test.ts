import { valueAndGrad } from "@openelm/autograd";
import { Generator, normal, type Tensor, tensor, UsageError, withDefaults } from "@openelm/tensor";
import { expectNoLeaks } from "@openelm/testing";
import "@openelm/testing/vitest";
import { describe, expect, test } from "vitest";
import {
  Embedding,
  Linear,
  LoRA,
  LoRALinear,
  LoRAQuantizedLinear,
  Module,
  type Parameter,
  type QuantizedLinear,
  quantize,
} from "../src/index.js";

const random = (shape: readonly number[], seed = 5): Tensor =>
  normal(shape, { generator: new Generator(seed) });

/** A model with layers in a field, an array and twice. */
class Model extends Module {
  readonly table = new Embedding(50, 64);
  readonly layers: Linear[] = [new Linear(64, 96, { bias: true }), new Linear(96, 64)];
  readonly again = this.layers[1]!;
  readonly out = new Linear(64, 10);

  forward(ids: number[]): Tensor {
    let h = this.table.forward(ids);
    for (const layer of this.layers) h = layer.forward(h).relu();
    return this.out.forward(h.add(this.again.forward(this.layers[0]!.forward(h))));
  }
}

const made = (seed = 1): Model => withDefaults({ seed }, () => new Model()).initialize();
const ids = [3, 1, 4, 1, 5, 9];
const loss = (model: Model): Tensor => model.forward(ids).square().mean();

/** Gives the adapter values as after some training. */
function trained(lora: LoRA, size = 0.05): void {
  let seed = 100;
  for (const [path, parameter] of lora.namedParameters()) {
    const step = random(parameter.shape, seed++).mul(size).to({ device: parameter.device });
    const isNorm = path.endsWith("magnitude");
    parameter.value = isNorm ? parameter.value.mul(step.add(1)) : parameter.value.add(step);
  }
}

const KINDS = [
  ["plain", {}],
  ["rank-stabilized", { rankStabilized: true, alpha: 3 }],
  ["with magnitudes", { dora: true }],
] as const;

describe.each(KINDS)("LoRA, %s,", (_, options) => {
  test.each([false, true])("changes nothing at first (quantized: %s)", async (isQuantized) => {
    const model = made();
    if (isQuantized) quantize(model, { bits: 8, group: 32 });
    const before = model.forward(ids);
    model.apply(new LoRA({ rank: 4, ...options }));
    // Magnitudes are the rows' norms, so their quotient is 1 up to rounding.
    const atol = "dora" in options ? 1e-5 : 0;
    expect(model.forward(ids)).toBeAllClose(before, { rtol: 0, atol });
  });

  test.each([false, true])("trains the adapter alone (quantized: %s)", (isQuantized) => {
    const model = made();
    if (isQuantized) quantize(model, { bits: 4, group: 32 });
    const lora = new LoRA({ rank: 4, ...options });
    model.apply(lora);
    trained(lora);
    const { grads } = valueAndGrad(loss)(model);
    expect([...grads.entries()].map(([path]) => path)).toEqual(
      Array.from(lora.namedParameters(), ([path]) => path),
    );
    for (const [path, grad] of grads.entries()) {
      expect(grad!.abs().max().itemSync(), path).toBeGreaterThan(0);
    }
  });

  test.each([false, true])(
    "merged gives the same without the adapter, and unmerged the same bits (quantized: %s)",
    async (isQuantized) => {
      const model = made();
      if (isQuantized) quantize(model, { bits: 8, group: 32 });
      const lora = new LoRA({ rank: 4, ...options });
      model.apply(lora);
      trained(lora);
      const adapted = model.forward(ids);
      lora.merge();
      expect(model.forward(ids)).toBeAllClose(adapted, { rtol: 1e-4, atol: 1e-4 });
      expect([...model.namedParameters()].some(([path]) => path.includes("lora"))).toBe(false);
      expect(model.out.constructor).toBe(Linear);
      lora.unmerge();
      expect(await model.forward(ids).bytes()).toEqual(await adapted.bytes());
    },
  );

  test("leaves the model as it was when it is removed", async () => {
    const model = made();
    model.freeze(/^out/);
    const [before, paths] = [model.forward(ids), [...model.namedParameters()].map(([path]) => path)];
    const lora = new LoRA({ rank: 2, ...options });
    model.apply(lora);
    trained(lora);
    lora.merge();
    lora.remove();
    expect(await model.forward(ids).bytes()).toEqual(await before.bytes());
    expect([...model.namedParameters()].map(([path]) => path)).toEqual(paths);
    const trainable = [...model.namedParameters()].filter(([, p]) => p.trainable).map(([path]) => path);
    expect(trainable).toEqual(paths.filter((path) => path !== "out.weight"));
    model.apply(lora);
    expect(lora.layers.size).toBe(3);
  });

  test("gives the product that a loss makes by itself", () => {
    const model = made();
    const lora = new LoRA({ rank: 4, ...options, targets: /out/ });
    model.apply(lora);
    trained(lora);
    const x = random([7, 64], 8);
    const { features, weight } = model.out.product(x);
    const product = features.matmul(weight.permute([1, 0]));
    expect(product).toBeAllClose(model.out.forward(x), { rtol: 1e-4, atol: 1e-5 });
  });
});

describe("the numbers of LoRA", () => {
  const x = random([5, 32], 1);

  test("are W x + (alpha / rank) · B A x + bias", () => {
    const layer = new Linear(32, 24, { bias: true });
    layer.bias!.value = random([24], 9);
    const holder = new (class extends Module {
      readonly only = layer;
    })();
    const lora = new LoRA({ rank: 4, alpha: 10 });
    holder.apply(lora);
    const [, { lora: own }] = [...lora.layers][0]! as [string, LoRALinear];
    expect([own.a.shape, own.b.shape]).toEqual([
      [4, 32],
      [24, 4],
    ]);
    trained(lora, 1);
    const added = x
      .matmul(own.a.value.permute([1, 0]))
      .matmul(own.b.value.permute([1, 0]))
      .mul(10 / 4);
    const wanted = x
      .matmul(layer.weight.value.permute([1, 0]))
      .add(added)
      .add(layer.bias!.value);
    expect((holder.only as LoRALinear).forward(x)).toBeAllClose(wanted, { rtol: 1e-5, atol: 1e-4 });
    expect(lora.scalingOf("only")).toBe(2.5);
    expect(new LoRA({ rank: 16, alpha: 8, rankStabilized: true }).scalingOf("only")).toBe(2);
  });

  test("with magnitudes are (m / ‖W + s B A‖) · (W + s B A) x, whose norms are constants for gradients", () => {
    const model = made();
    const lora = new LoRA({ rank: 4, dora: true, targets: /out/ });
    model.apply(lora);
    const { weight, lora: own } = model.out as LoRALinear;
    const norms = (w: Tensor): number[] => w.square().sum({ axis: 1 }).sqrt().arraySync() as number[];
    expect(own.magnitude!.value).toBeAllClose(tensor(norms(weight.value)), { rtol: 1e-6, atol: 0 });
    trained(lora, 0.3);
    const v = weight.value.add(own.b.value.matmul(own.a.value));
    const scale = own.magnitude!.value.div(tensor(norms(v)));
    const h = random([5, 64], 2);
    expect(model.out.forward(h)).toBeAllClose(h.matmul(v.permute([1, 0])).mul(scale), {
      rtol: 1e-4,
      atol: 1e-5,
    });
    // d/dm of Σ y² is Σ 2 y · y / m; with the norm a constant, B's is that of a layer scaled by constants.
    const sum = (m: Model): Tensor => m.out.forward(h).square().sum();
    const { grads } = valueAndGrad(sum)(model);
    const y = model.out.forward(h);
    const dm = y.square().sum({ axis: 0 }).mul(2).div(own.magnitude!.value);
    expect(grads.get("out.lora.magnitude")!).toBeAllClose(dm, { rtol: 1e-3, atol: 1e-3 });
    const db = y
      .mul(2)
      .mul(scale)
      .permute([1, 0])
      .matmul(h.matmul(own.a.value.permute([1, 0])));
    expect(grads.get("out.lora.b")!).toBeAllClose(db, { rtol: 1e-3, atol: 1e-3 });
  });

  test("of an embedding are E[i] + s · B Aᵢ for look-ups, and E for the output", () => {
    for (const isQuantized of [false, true]) {
      const model = made();
      if (isQuantized) quantize(model, { bits: 8, group: 32 });
      const before = [model.table.forward(ids), model.table.attend(random([2, 64]))] as const;
      const lora = new LoRA({ rank: 3, alpha: 6, targets: /table/ });
      model.apply(lora);
      expect(model.table.forward(ids)).toBeAllClose(before[0], { rtol: 0, atol: 0 });
      trained(lora, 1);
      const { a, b } = lora.layers.get("table")!.lora;
      const rows = a.value.at(tensor(ids, { dtype: "i32" })) as Tensor;
      const wanted = before[0].add(rows.matmul(b.value.permute([1, 0])).mul(2));
      expect(model.table.forward(ids)).toBeAllClose(wanted, { rtol: 1e-5, atol: 1e-5 });
      expect(model.table.attend(random([2, 64]))).toBeAllClose(before[1], { rtol: 0, atol: 0 });
      const adapted = model.table.forward(ids);
      expect(() => lora.merge()).toThrow(/table is an embedding/);
      lora.merge({ embeddings: true });
      expect(model.table.forward(ids)).toBeAllClose(adapted, { rtol: 1e-5, atol: 1e-5 });
    }
  });

  test("drop inputs of the adapter alone, and only while training", async () => {
    const model = made();
    const lora = new LoRA({ rank: 4, dropout: 0.5, targets: /out/ });
    model.eval().apply(lora);
    trained(lora, 1);
    const h = random([40, 64], 2);
    const bytes = (): Promise<Uint8Array> => model.out.forward(h).bytes();
    expect(await bytes()).toEqual(await bytes());
    const still = model.out.forward(h);
    model.train();
    const dropped = model.out.forward(h);
    expect(await dropped.bytes()).not.toEqual(await still.bytes());
    // Without the adapter nothing is left that could differ.
    const { b } = lora.layers.get("out")!.lora;
    b.value = b.value.mul(0);
    const base = model.out.forward(h);
    expect(await base.bytes()).toEqual(await model.eval().out.forward(h).bytes());
  });
});

describe("LoRA in a model", () => {
  test("starts each layer differently, the same for the same seed, whatever is used first", async () => {
    const [one, two] = [made(), made()].map((model) => {
      const lora = new LoRA({ rank: 4 });
      model.apply(lora);
      return new Map(lora.namedParameters());
    }) as unknown as [Map<string, Parameter>, Map<string, Parameter>];
    const last = await two.get("out.lora.a")!.value.bytes();
    expect(last).toEqual(await one.get("out.lora.a")!.value.bytes());
    expect(await two.get("layers.0.lora.a")!.value.bytes()).not.toEqual(last);
    const bound = 1 / Math.sqrt(64);
    expect(one.get("layers.0.lora.a")!.value.abs().max().itemSync()).toBeLessThanOrEqual(bound);
    expect(one.get("layers.0.lora.a")!.value.std().itemSync()).toBeCloseTo(bound / Math.sqrt(3), 2);
  });

  test("is one layer where one stands in several places", () => {
    const model = made();
    model.apply(new LoRA({ targets: /^again/ }));
    expect(model.again).toBe(model.layers[1]);
    expect(model.again).toBeInstanceOf(LoRALinear);
  });

  test("has its own rank and alpha where a layer says so", () => {
    const model = made();
    const lora = new LoRA({
      rank: 4,
      alpha: 4,
      layer: (path) => (path === "out" ? { rank: 2, alpha: 8 } : undefined),
    });
    model.apply(lora);
    expect(lora.layers.get("out")!.lora.a.shape[0]).toBe(2);
    expect([lora.scalingOf("out"), lora.scalingOf("layers.0")]).toEqual([4, 1]);
    expect(lora.parameterCount()).toBe(2 * (64 + 10) + 4 * (64 + 96) * 2);
  });

  test("is in f32 beside halves, and keeps their dtype in what comes out", () => {
    const model = made().to("bf16");
    const lora = new LoRA({ rank: 4 });
    model.apply(lora);
    expect(lora.layers.get("out")!.lora.a.dtype).toBe("f32");
    expect(model.forward(ids).dtype).toBe("bf16");
    quantize(model, { group: 32, filter: () => true });
    expect(model.out).toBeInstanceOf(LoRALinear);
  });

  test("stands beside quantized layers without changing them", async () => {
    const model = made();
    quantize(model, { bits: 4, group: 32 });
    const codes = await (model.out as unknown as QuantizedLinear).weight.value.bytes();
    const lora = new LoRA();
    model.apply(lora);
    expect(model.out).toBeInstanceOf(LoRAQuantizedLinear);
    expect(await model.out.weight.value.bytes()).toEqual(codes);
  });

  test("leaves no tensors behind in a step", () => {
    const model = made();
    const lora = new LoRA({ dora: true, dropout: 0.1 });
    model.apply(lora);
    const step = valueAndGrad(loss);
    step(model);
    expectNoLeaks(() => {
      step(model);
    });
  });

  test.each([
    [() => new LoRA({ rank: 0 }), /rank must be a whole number/],
    [() => new LoRA({ alpha: -1 }), /alpha must be a number above 0/],
    [() => new LoRA({ dropout: 1 }), /dropout must be in \[0, 1\)/],
    [
      () => made().apply(new LoRA({ targets: /nothing/ })),
      /targets match no layer; there are: table, layers\.0/,
    ],
    [() => made().apply(new LoRA({ targets: /table/, dora: true })), /leave table out of targets/],
    [() => new LoRA().merge(), /the adapter is in no model/],
  ])("refuses what cannot be %#", (fn, message) => {
    expect(fn).toThrow(UsageError);
    expect(fn).toThrow(message);
  });

  test("refuses to be in two models, or merged twice", () => {
    const lora = new LoRA();
    made().apply(lora);
    expect(() => made().apply(lora)).toThrow(/in a model already/);
    lora.merge();
    expect(() => lora.merge()).toThrow(/merged already/);
  });
});
