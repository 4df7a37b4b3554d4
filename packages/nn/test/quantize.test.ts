import { valueAndGrad } from "@openelm/autograd";
import {
  FormatError,
  Generator,
  normal,
  QuantizedTensor,
  type Tensor,
  tensor,
  UsageError,
} from "@openelm/tensor";
import { expectNoLeaks } from "@openelm/testing";
import "@openelm/testing/vitest";
import { describe, expect, test } from "vitest";
import {
  Embedding,
  Linear,
  linear,
  Module,
  QuantizedEmbedding,
  QuantizedLinear,
  quantize,
} from "../src/index.js";

const random = (shape: readonly number[], seed = 5): Tensor =>
  normal(shape, { generator: new Generator(seed) });

/** A tied model with layers in a field, an array and a Map. */
class Tied extends Module {
  readonly table = new Embedding(50, 64);
  readonly layers = [new Linear(64, 96, { bias: true }), new Linear(96, 64)];
  readonly extra = new Map([["again", this.layers[1]!]]);
  forward(ids: number[]): Tensor {
    const h = this.layers.reduce((x, layer) => layer.forward(x), this.table.forward(ids));
    return this.table.attend(h.add(this.extra.get("again")!.forward(this.layers[0]!.forward(h))));
  }
}

describe("QuantizedTensor", () => {
  const q = QuantizedTensor.from(random([6, 64]), { bits: 8, group: 32 });

  test("knows its shape and holds MLX's layout", () => {
    expect(q.shape).toEqual([6, 64]);
    expect([q.codes.shape, q.codes.dtype]).toEqual([[6, 16], "u32"]);
    expect(q.scales.shape).toEqual([6, 2]);
    expect(String(q)).toBe("QuantizedTensor [6, 64] of 8 bits, f32 scales for groups of 32");
    expect(q.byteLength).toBe(6 * 64 + 2 * 6 * 2 * 4);
  });

  test("8 bits stay within a step of the weights: the far end of a group may be clamped", () => {
    const w = random([6, 64]);
    const steps = q.scales.abs().reshape([6, 2, 1]);
    const off = q.dequantize().sub(w).abs().reshape([6, 2, 32]).div(steps);
    expect(off.max().itemSync()).toBeLessThan(1);
  });

  test("multiplies from both sides and gives rows, as its weights do", () => {
    const w = q.dequantize();
    const [x, xt] = [random([3, 64], 1), random([3, 6], 2)];
    expect(q.multiply(x)).toBeAllClose(linear(x, w), { rtol: 1e-5, atol: 1e-5 });
    expect(q.multiply(xt, { transpose: false })).toBeAllClose(xt.matmul(w), { rtol: 1e-5, atol: 1e-5 });
    expect(q.rows([4, 0]).arraySync()).toEqual(w.take(tensor([4, 0], { dtype: "i32" })).arraySync());
    expect(q.rows([1], { dtype: "bf16" }).dtype).toBe("bf16");
    expect(() => q.rows([-1]).dataSync()).toThrow(/ids must lie in/);
  });

  test("refuses parts and sizes that do not fit", () => {
    expect(
      () =>
        new QuantizedTensor({ ...q, codes: q.codes, scales: q.scales, biases: q.biases, bits: 4, group: 32 }),
    ).toThrow(/SHAPE_MISMATCH/);
    expect(() => QuantizedTensor.from(random([2, 48]), { group: 64 })).toThrow(
      /multiple of group 64, got 48/,
    );
    expect(() => QuantizedTensor.from(random([2, 64]), { bits: 9 })).toThrow(/bits must be 2 to 8, got 9/);
    expect(() => QuantizedTensor.from(random([2, 64]), { group: 16 })).toThrow(
      /group must be 32, 64 or 128, got 16/,
    );
  });

  test("takes blocks of GGUF files without changing a weight", () => {
    // Scale 0.5; bytes -128 … 127 in steps; half-bytes 0 … 15.
    const q8 = new Uint8Array([0x00, 0x38, ...Array.from({ length: 32 }, (_, i) => (i * 8 - 128) & 255)]);
    const eight = QuantizedTensor.fromBlocks(q8, "Q8_0", [1, 32]);
    expect(eight.scales.dtype).toBe("f16");
    const wanted = Array.from({ length: 32 }, (_, i) => (i * 8 - 128) / 2);
    expect(eight.dequantize({ dtype: "f32" }).arraySync()).toEqual([wanted]);
    const q4 = new Uint8Array([0x00, 0xb8, ...Array.from({ length: 16 }, (_, i) => i | ((15 - i) << 4))]);
    const half = Array.from({ length: 16 }, (_, i) => (i - 8) / -2);
    const four = QuantizedTensor.fromBlocks(q4, "Q4_0", [32]);
    expect(four.dequantize({ dtype: "f32" }).add(0).arraySync()).toEqual(
      [...half, ...half.toReversed()].map((v) => v + 0),
    );
    expect(() => QuantizedTensor.fromBlocks(q4, "Q8_0", [32])).toThrow(FormatError);
  });
});

describe("quantize", () => {
  test("replaces the layers of a tied model once each", () => {
    const model = new Tied().initialize(3);
    const before = model.forward([3, 1, 4]);
    expect(quantize(model, { bits: 8, group: 32 })).toBe(3);
    expect(model.table).toBeInstanceOf(QuantizedEmbedding);
    expect(model.layers[0]).toBeInstanceOf(QuantizedLinear);
    expect(model.extra.get("again")).toBe(model.layers[1]);
    const after = model.forward([3, 1, 4]);
    const largest = before.abs().max().itemSync() as number;
    expect(after).toBeAllClose(before, { rtol: 0, atol: 0.03 * largest });
    expect([...model.namedParameters()].map(([path]) => path)).toEqual([
      "table.weight",
      "table.scales",
      "table.biases",
      "layers.0.weight",
      "layers.0.scales",
      "layers.0.biases",
      "layers.0.bias",
      "layers.1.weight",
      "layers.1.scales",
      "layers.1.biases",
    ]);
  });

  test("keeps what filter leaves, and names what cannot be grouped", () => {
    const model = new Tied();
    expect(() => quantize(model, { group: 64 })).toThrow(UsageError);
    expect(() => quantize(model, { group: 64 })).toThrow(/layers\.1 \(96\).*exclude them with filter/);
    expect(model.layers[0]).toBeInstanceOf(Linear);
    expect(quantize(model, { filter: (path) => path === "layers.0" })).toBe(1);
    expect(model.table).toBeInstanceOf(Embedding);
  });

  test("f16 scales stand beside f32 activations", () => {
    const model = new Tied().initialize(3);
    quantize(model, { bits: 8, group: 32, scaleDtype: "f16" });
    expect(model.layers[0]!.parameters().map(({ dtype }) => dtype)).toEqual(["u32", "f16", "f16", "f32"]);
    expect(model.forward([1, 2]).dtype).toBe("f32");
  });

  test("gives the input a gradient and the weights none", () => {
    const layer = QuantizedLinear.from(new Linear(32, 4, { bias: true }), { bits: 8, group: 32 });
    const w = layer.matrix.dequantize();
    const x = random([2, 32]);
    const { grads } = valueAndGrad((x: Tensor) => layer.forward(x).sum())(x);
    expect(grads).toBeAllClose(
      tensor([
        [1, 1, 1, 1],
        [1, 1, 1, 1],
      ]).matmul(w),
      { rtol: 1e-5, atol: 1e-5 },
    );
    const ofLayer = valueAndGrad((layer: QuantizedLinear) => layer.forward(x).sum())(layer);
    expect(ofLayer.grads.paths()).toEqual(["bias"]);
  });

  test("values are loaded by the names of MLX", async () => {
    const layer = QuantizedLinear.from(new Linear(64, 8), { bits: 4, group: 32 });
    const empty = new QuantizedLinear(64, 8, { bits: 4, group: 32 });
    await empty.load(layer.state());
    const x = random([2, 64]);
    expect(empty.forward(x).arraySync()).toEqual(layer.forward(x).arraySync());
    expect(() => new QuantizedLinear(48, 8)).toThrow(/rows of 48 weights are not whole groups of 64/);
  });

  test("a forward pass leaves nothing behind", () => {
    const layer = QuantizedEmbedding.from(new Embedding(10, 32), { group: 32 });
    expectNoLeaks(() => void layer.forward([1, 2]).dispose());
  });
});
