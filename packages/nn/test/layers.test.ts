import { valueAndGrad } from "@openelm/autograd";
import {
  Generator,
  gelu,
  normal,
  ones,
  type Tensor,
  tensor,
  UsageError,
  uniform,
  withDefaults,
  zeros,
} from "@openelm/tensor";
import { gradCheck } from "@openelm/testing";
import "@openelm/testing/vitest";
import { describe, expect, test } from "vitest";
import {
  Attention,
  Dropout,
  Embedding,
  FeedForward,
  init,
  LayerNorm,
  Linear,
  linear,
  type Module,
  RMSNorm,
} from "../src/index.js";

const f64 = <T>(make: () => T): T => withDefaults({ dtype: "f64", seed: 3 }, () => make() as never);
const random = (shape: readonly number[], seed = 5): Tensor =>
  normal(shape, { dtype: "f64", generator: new Generator(seed) });

/** Gradients of the input and of every parameter against finite differences. */
function checkLayer(layer: Module & { forward(x: Tensor): Tensor }, shape: readonly number[]): void {
  const parameters = layer.parameters();
  gradCheck(
    (x, ...weights) => {
      for (const [i, parameter] of parameters.entries()) parameter.value = weights[i]!.mul(1);
      return layer.forward(x!);
    },
    [random(shape), ...parameters.map((parameter, i) => random(parameter.shape, 10 + i))],
  );
}

describe("shapes and values", () => {
  test("Linear is x · Wᵀ + b, as a layer and as a function", () => {
    const layer = new Linear(3, 2, { bias: true });
    layer.weight.value = tensor([
      [1, 2, 3],
      [4, 5, 6],
    ]);
    layer.bias!.value = tensor([10, 20]);
    const x = tensor([[1, 0, -1]]);
    expect(layer.forward(x)).toBeAllClose([[8, 18]]);
    expect(linear(x, layer.weight.value)).toBeAllClose([[-2, -2]]);
    expect(new Linear(3, 2).forward(zeros([5, 4, 3])).shape).toEqual([5, 4, 2]);
    expect(new Linear(3, 2).bias).toBeUndefined();
    expect(() => layer.forward(zeros([5, 4]))).toThrow(/SHAPE_MISMATCH/);
  });

  test("RMSNorm adds a branch and norms the sum, whatever their dtypes", () => {
    const norm = new RMSNorm(6);
    norm.weight.value = random([6], 2).to("f32");
    for (const [x, branch, sum, y] of [
      ["f32", "f32", "f32", "f32"],
      ["f32", "bf16", "f32", "bf16"],
      ["bf16", "bf16", "bf16", "bf16"],
      ["bf16", "f32", "f32", "f32"],
      ["bf16", "f16", "f32", "f32"],
    ] as const) {
      const [stream, added] = [random([2, 6], 3).to(x), random([2, 6], 4).to(branch)];
      const result = norm.addForward(stream, added);
      expect([result.sum.dtype, result.y.dtype]).toEqual([sum, y]);
      const wanted = stream.add(added);
      expect(result.sum.dataSync()).toEqual(wanted.dataSync());
      expect(result.y.dataSync()).toEqual(norm.forward(wanted).to(y).dataSync());
    }
    expect(() => norm.addForward(zeros([2, 6]), zeros([1, 6]))).toThrow(/the shape of x/);
  });

  test("Embedding looks up, scores, and gives the padding row no gradient", () => {
    const layer = new Embedding(5, 3, { paddingIndex: 4 });
    expect(layer.forward([3, 1, 4]).shape).toEqual([3, 3]);
    expect(layer.forward(tensor([[0, 1]], { dtype: "i32" })).shape).toEqual([1, 2, 3]);
    expect(layer.attend(zeros([2, 3])).shape).toEqual([2, 5]);
    const { grads } = valueAndGrad((m: Embedding) => m.forward([4, 1, 1]).sum())(layer);
    expect(grads.get("weight")!).toBeAllClose([
      [0, 0, 0],
      [2, 2, 2],
      [0, 0, 0],
      [0, 0, 0],
      [0, 0, 0],
    ]);
  });

  test("an id out of range makes reads fail, and nothing else", async () => {
    const layer = new Embedding(5, 3);
    await expect((async () => layer.forward([5]).data())()).rejects.toThrow(/5/);
    expect((await layer.forward([4]).data()).length).toBe(3);
  });

  test("RMSNorm and LayerNorm scale rows to unit size", () => {
    const x = normal([4, 64], { mean: 3, std: 7, generator: new Generator(1) });
    expect(new RMSNorm(64).forward(x).square().mean({ axis: -1 })).toBeAllClose([1, 1, 1, 1], { atol: 1e-5 });
    const y = new LayerNorm(64).forward(x);
    expect(y.mean({ axis: -1 })).toBeAllClose([0, 0, 0, 0], { atol: 1e-5 });
    expect(y.square().mean({ axis: -1 })).toBeAllClose([1, 1, 1, 1], { atol: 1e-4 });
    expect(new LayerNorm(4, { bias: false }).bias).toBeUndefined();
    expect(new RMSNorm(4).forward(tensor([[1, 1, 1, 1]]))).toBeAllClose([[1, 1, 1, 1]], { atol: 1e-6 });
    expect(() => new RMSNorm(4).forward(zeros([2, 5]))).toThrow(/SHAPE_MISMATCH/);
  });

  test("Dropout keeps the mean while training and does nothing otherwise", async () => {
    const layer = new Dropout(0.25);
    const x = ones([10_000]);
    const y = await layer.forward(x, { generator: new Generator(2) }).data();
    const zero = y.filter((v) => Number(v) === 0).length;
    expect(zero / y.length).toBeGreaterThan(0.22);
    expect(zero / y.length).toBeLessThan(0.28);
    expect(new Set(Array.from(y, Number).map((v) => v.toFixed(4)))).toEqual(new Set(["0.0000", "1.3333"]));
    expect(layer.eval().forward(x)).toBe(x);
    expect(new Dropout(0).forward(x)).toBe(x);
    expect(() => new Dropout(1)).toThrow(UsageError);
  });

  test("FeedForward gates with the first half, with any activation, or not at all", () => {
    for (const activation of ["swish", "silu", "gelu", "gelu_tanh", "relu"] as const) {
      const layer = new FeedForward(4, 6, { activation });
      expect(layer.forward(zeros([2, 3, 4])).shape).toEqual([2, 3, 4]);
      expect(layer.proj1.weight.shape).toEqual([12, 4]);
    }
    const x = normal([2, 4], { generator: new Generator(4) });
    const plain = new FeedForward(4, 6, { activation: "gelu", glu: false });
    expect(plain.forward(x)).toBeAllClose(plain.proj2.forward(gelu(plain.proj1.forward(x))));
    const gated = new FeedForward(4, 6);
    const h = gated.proj1.forward(x);
    const [u, v] = [h.at(":", ":6") as Tensor, h.at(":", "6:") as Tensor];
    expect(gated.forward(x)).toBeAllClose(gated.proj2.forward(u.silu().mul(v)), { atol: 1e-6 });
    expect(() => new FeedForward(4, 6, { activation: "constructor" as "relu" })).toThrow(
      /one of swish, silu/,
    );
  });

  test("Attention sees no later position, and only its own document", async () => {
    const layer = new Attention({ dim: 16, queryHeads: 4, kvHeads: 2, headDim: 4, qkNorm: true });
    const x = normal([1, 6, 16], { generator: new Generator(6) });
    const y = layer.forward(x);
    expect(y.shape).toEqual([1, 6, 16]);
    expect(layer.forward(x.at(":", ":4") as Tensor)).toBeAllClose(y.at(":", ":4") as Tensor, { atol: 1e-6 });
    const documents = tensor([[0, 0, 0, 1, 1, 1]], { dtype: "i32" });
    const split = layer.forward(x, { documents });
    const second = layer.forward(x.at(":", "3:") as Tensor);
    expect(split.at(":", ":3") as Tensor).toBeAllClose(y.at(":", ":3") as Tensor, { atol: 1e-6 });
    expect(split.at(":", "3:") as Tensor).toBeAllClose(second, { atol: 1e-6 });
    expect(() => layer.forward(zeros([6, 16]))).toThrow(/\[batch, time, dim\], got \[6, 16\]/);
    expect(() => new Attention({ dim: 8, queryHeads: 3, kvHeads: 2, headDim: 4 })).toThrow(
      /multiple of kvHeads/,
    );
  });
});

describe("gradients agree with finite differences", () => {
  test.each([
    ["Linear", () => new Linear(5, 3, { bias: true }), [2, 4, 5]],
    ["RMSNorm", () => new RMSNorm(7), [3, 7]],
    ["LayerNorm", () => new LayerNorm(7), [3, 7]],
    ["FeedForward, swish", () => new FeedForward(4, 6), [3, 4]],
    ["FeedForward, gelu", () => new FeedForward(4, 6, { activation: "gelu" }), [3, 4]],
    ["FeedForward, not gated", () => new FeedForward(4, 6, { activation: "gelu_tanh", glu: false }), [3, 4]],
    [
      "Attention",
      () => new Attention({ dim: 8, queryHeads: 4, kvHeads: 2, headDim: 4, qkNorm: true }),
      [2, 5, 8],
    ],
    ["Attention without norms", () => new Attention({ dim: 8, queryHeads: 2, headDim: 4 }), [1, 3, 8]],
  ] as const)("%s", (_, make, shape) => {
    checkLayer(
      f64(() => make()),
      shape,
    );
  });

  test("Embedding", () => {
    gradCheck(
      (weight) => {
        const layer = f64(() => new Embedding(6, 3));
        layer.weight.value = weight!.mul(1);
        return layer.attend(layer.forward([1, 4, 1]));
      },
      [random([6, 3])],
    );
  });
});

describe("initial values", () => {
  const spread = async (
    make: init.Init,
    shape: readonly number[],
  ): Promise<{ mean: number; std: number; max: number }> => {
    const context = { dtype: "f32", device: "cpu", generator: new Generator(8) } as const;
    const values = Array.from(await make(shape, context).data(), Number);
    const mean = values.reduce((a, b) => a + b, 0) / values.length;
    const std = Math.sqrt(values.reduce((a, b) => a + (b - mean) ** 2, 0) / values.length);
    return { mean, std, max: Math.max(...values.map(Math.abs)) };
  };

  test.each([
    ["fanInNormal", init.fanInNormal, 1 / 16],
    ["normal", init.normal({ std: 0.3 }), 0.3],
    ["uniform", init.uniform(-1, 1), 1 / Math.sqrt(3)],
    ["xavierUniform", init.xavierUniform, Math.sqrt(2 / (256 + 64))],
    ["kaimingUniform", init.kaimingUniform(), Math.sqrt(2 / 256)],
    // The variance of a normal cut at ±2: 1 − 4 φ(2) / (2 Φ(2) − 1).
    [
      "truncatedNormal",
      init.truncatedNormal({ std: 0.5 }),
      0.5 * Math.sqrt(1 - (4 * 0.05399097) / 0.9544997),
    ],
  ] as const)("%s have the spread that they should", async (name, make, std) => {
    const got = await spread(make, [64, 256]);
    // 16,384 values: the standard error of their deviation is 0.55 %.
    expect(got.std / std).toBeGreaterThan(0.975);
    expect(got.std / std).toBeLessThan(1.025);
    expect(Math.abs(got.mean)).toBeLessThan(std * 0.04);
    if (name === "truncatedNormal") expect(got.max).toBeLessThanOrEqual(1);
  });

  test("of norms are one, of biases zero", () => {
    expect(new LayerNorm(3).weight.value).toBeAllClose([1, 1, 1]);
    expect(new Linear(2, 3, { bias: true }).bias!.value).toBeAllClose([0, 0, 0]);
    expect(uniform([1]).shape).toEqual([1]);
  });
});
