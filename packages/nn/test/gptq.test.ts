import {
  Generator,
  liveTensors,
  normal,
  QuantizedTensor,
  type Tensor,
  tensor,
  transpose,
  UsageError,
} from "@openelm/tensor";
import "@openelm/testing/vitest";
import { settledTensors } from "@openelm/testing";
import { describe, expect, test } from "vitest";
import { gptq, linear } from "../src/index.js";
import { unitCholesky } from "../src/quantization/cholesky.js";
import { packCodes } from "../src/quantization/pack.js";

const random = (shape: readonly number[], seed: number): Tensor =>
  normal(shape, { generator: new Generator(seed) });

/** Inputs `[count, dim]` that lie near a few directions, as those of a model's layers do. */
function correlated(count: number, dim: number, directions = 24): Tensor {
  const strong = random([count, directions], 1).matmul(random([directions, dim], 2));
  return strong.add(random([count, dim], 3).mul(0.2));
}

const momentsOf = (x: Tensor): Tensor => transpose(x).matmul(x);

/** Mean squared difference of what two weights make of the same inputs. */
const outputError = (x: Tensor, w: Tensor, q: QuantizedTensor): number =>
  linear(x, w.to("f32"))
    .sub(linear(x, q.dequantize({ dtype: "f32" })))
    .square()
    .mean()
    .itemSync();

describe("gptq", () => {
  const [x, unseen] = [correlated(512, 192), correlated(1024, 192).at("512:") as Tensor];
  const w = random([80, 192], 4);

  test.each([
    [4, 64],
    [4, 32],
    [3, 64],
    [2, 32],
    [5, 64],
  ])(
    "at %i bits in groups of %i has less than a third of rounding's error on inputs never seen",
    async (bits, group) => {
      const codes = await gptq(w, momentsOf(x), { bits, group });
      const nearest = QuantizedTensor.from(w, { bits, group });
      expect([codes.shape, codes.bits, codes.group]).toEqual([[80, 192], bits, group]);
      expect(outputError(unseen, w, codes)).toBeLessThan(outputError(unseen, w, nearest) / 3);
    },
  );

  test("gives the same bits again, also beside another", async () => {
    const [one, two] = await Promise.all([gptq(w, momentsOf(x)), gptq(w, momentsOf(x))]);
    for (const part of ["codes", "scales", "biases"] as const) {
      expect(await one[part].bytes()).toEqual(await two[part].bytes());
    }
  });

  test("rounds each weight to the nearest number where inputs never come together", async () => {
    const alone = tensor(
      Float32Array.from({ length: 32 * 32 }, (_, i) => (i % 33 === 0 ? 1 + i / 100 : 0)),
      { shape: [32, 32] },
    );
    const small = random([6, 32], 9);
    const codes = await gptq(small, alone, { bits: 2, group: 32, damping: 0 });
    const [numbers, scales, biases] = [codes.dequantize(), codes.scales, codes.biases].map(
      (t) => t.dataSync() as Float32Array,
    ) as [Float32Array, Float32Array, Float32Array];
    for (const [i, weight] of (small.dataSync() as Float32Array).entries()) {
      const row = Math.floor(i / 32);
      const off = (q: number): number => Math.abs(weight - (scales[row]! * q + biases[row]!));
      expect(Math.abs(weight - numbers[i]!)).toBeCloseTo(Math.min(off(0), off(1), off(2), off(3)), 5);
    }
  });

  test("without moments still has less error than the extremes of groups give", async () => {
    const [codes, nearest] = [await gptq(w, undefined, { bits: 3 }), QuantizedTensor.from(w, { bits: 3 })];
    const off = (q: QuantizedTensor): number => q.dequantize().sub(w).square().mean().itemSync();
    expect(off(codes)).toBeLessThan(0.95 * off(nearest));
  });

  test("keeps the dtype of half-precision weights in its scales, and rounds to what they then say", async () => {
    const codes = await gptq(w.to("bf16"), momentsOf(x));
    expect(codes.scales.dtype).toBe("bf16");
    const nearest = QuantizedTensor.from(w.to("bf16"));
    expect(outputError(x, w, codes)).toBeLessThan(outputError(x, w, nearest) / 3);
    expect((await gptq(w, momentsOf(x), { scaleDtype: "f16" })).scales.dtype).toBe("f16");
  });

  test("takes inputs that were always 0, and groups of one number", async () => {
    const dead = x.mul(tensor(Float32Array.from({ length: 192 }, (_, i) => (i < 64 ? 0 : 1))));
    const codes = await gptq(w, momentsOf(dead));
    const off = codes.dequantize().sub(w).abs().max().itemSync();
    expect(off).toBeLessThan(1);
    const same = await gptq(w.mul(0).add(0.5), momentsOf(x), { bits: 2 });
    expect(same.dequantize()).toBeAllClose(w.mul(0).add(0.5), { atol: 1e-5, rtol: 0 });
  });

  test("refuses what does not fit", async () => {
    await expect(gptq(w, momentsOf(correlated(8, 64)))).rejects.toThrow(/moments \[inputs, inputs\]/);
    await expect(gptq(random([4, 48], 1), undefined)).rejects.toThrow(/groups of 64/);
    const [moments, wrong] = [momentsOf(x), momentsOf(x).mul(Number.NaN)];
    await expect(gptq(w, wrong)).rejects.toThrow(UsageError);
    const stopped = AbortSignal.abort(new Error("stopped"));
    await expect(gptq(w, moments, { signal: stopped })).rejects.toThrow("stopped");
  });

  test("leaves no tensors behind", async () => {
    const moments = momentsOf(x);
    const half = w.to("bf16");
    const before = await settledTensors();
    (await gptq(w, moments)).dispose();
    (await gptq(half, moments)).dispose();
    (await gptq(w, undefined)).dispose();
    expect(liveTensors()).toBe(before);
  });
});

test("the factor of a matrix larger than a block is lower triangular and makes the matrix again", async () => {
  const n = 300;
  const x = correlated(400, n);
  const a = momentsOf(x)
    .to("f64")
    .add(
      tensor(
        Float64Array.from({ length: n * n }, (_, i) => (i % (n + 1) === 0 ? 5 : 0)),
        { shape: [n, n], dtype: "f64" },
      ),
    );
  const m = tensor(await unitCholesky(a), { shape: [n, n] }).to("f64");
  expect(m.triu({ diagonal: 1 }).abs().max().itemSync()).toBe(0);
  // d follows from M and A: A = M diag(d) Mᵀ, so the first column of A is d₀ · M's first column, and so on by rows of M⁻¹ A.
  const values = a.arraySync() as number[][];
  const factor = m.arraySync() as number[][];
  const d: number[] = [];
  for (let j = 0; j < n; j++) {
    let sum = values[j]![j]!;
    for (let k = 0; k < j; k++) sum -= factor[j]![k]! ** 2 * d[k]!;
    d.push(sum);
  }
  const again = m.mul(tensor(Float64Array.from(d), { dtype: "f64" })).matmul(transpose(m));
  expect(again.sub(a).abs().max().itemSync() / a.abs().max().itemSync()).toBeLessThan(1e-6);
  await expect(unitCholesky(a.neg())).rejects.toThrow(/not positive definite/);
});

test.each([2, 3, 4, 5, 6, 7, 8])("codes of %i bits are packed as the op packs them", (bits) => {
  const most = 2 ** bits - 1;
  const codes = Uint8Array.from({ length: 256 }, (_, i) => (i * 37 + (i >> 3)) % (most + 1));
  // Weights that are their own codes: scale 1 and bias 0.
  const q = new QuantizedTensor({
    codes: tensor(packCodes(codes, bits), { shape: [2, (128 * bits) / 32] }),
    scales: tensor([[1], [1]]),
    biases: tensor([[0], [0]]),
    bits,
    group: 128,
  });
  expect(Array.from(q.dequantize().dataSync() as Float32Array)).toEqual(Array.from(codes));
});
