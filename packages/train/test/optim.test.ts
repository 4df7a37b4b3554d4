import { readFileSync } from "node:fs";
import { Gradients } from "@openelm/autograd";
import { init, Module, Parameter } from "@openelm/nn";
import { FormatError, keep, type Tensor, tensor, UsageError } from "@openelm/tensor";
import { describe, expect, test } from "vitest";
import { AdamW, clipGlobalNorm, SGD } from "../src/index.js";
import { fill } from "./support/fill.js";

interface Case {
  readonly case: string;
  readonly op: string;
  readonly steps: number;
  readonly lr: number;
  readonly n: number;
  readonly weight_decay: number;
  readonly norm: number;
  readonly coefficient: number;
  readonly p: number[];
  readonly m: number[];
  readonly v: number[];
}

const { cases } = JSON.parse(readFileSync(new URL("fixtures/optimizer.json", import.meta.url), "utf8")) as {
  cases: Case[];
};

/** A matrix and a vector. */
class Pair extends Module {
  readonly weight = new Parameter({ shape: [3, 4], init: init.zeros });
  readonly bias = new Parameter({ shape: [4], init: init.zeros });
}

/** One parameter of `n` numbers. */
class Single extends Module {
  readonly p: Parameter;
  constructor(values: Float32Array) {
    super();
    this.p = new Parameter({ shape: [values.length] });
    this.p.value = tensor(values);
  }
}

const gradients = (entries: Record<string, Tensor | null>): Gradients =>
  new Gradients(Object.entries(entries));

const worst = (got: ArrayLike<number>, want: ArrayLike<number>): number =>
  Array.from(want, (w, i) => Math.abs(got[i]! - w)).reduce((a, b) => Math.max(a, b), 0);

const MATRIX = Array.from({ length: 12 }, (_, i) => Math.sin(i + 1));
const VECTOR = Array.from({ length: 4 }, (_, i) => Math.cos(i + 1));

function pair(): Pair {
  const model = new Pair();
  model.weight.value = tensor(MATRIX).reshape([3, 4]);
  model.bias.value = tensor(VECTOR);
  return model;
}

/** Gradients of step k: their size changes, so that the moments matter. */
const slope = (k: number, count: number): number[] =>
  Array.from({ length: count }, (_, i) => Math.sin(3 * k + i) * 10 ** (k % 3));

const gradsAt = (k: number): Gradients =>
  gradients({ weight: tensor(slope(k, 12)).reshape([3, 4]), bias: tensor(slope(k + 1, 4)) });

describe("AdamW", () => {
  test.each(cases.filter(({ op }) => op === "adamw"))("$case gives PyTorch's numbers", async (golden) => {
    const model = new Single(fill(`${golden.case}.p`, golden.n));
    const optimizer = new AdamW(model, {
      lr: golden.lr,
      weightDecay: golden.weight_decay,
      decay: () => true,
    });
    for (let k = 0; k < golden.steps; k++) {
      optimizer.step(model, gradients({ p: tensor(fill(`${golden.case}.g${k}`, golden.n, 10 ** (k - 3))) }));
    }
    const state = optimizer.state();
    expect(worst((await model.p.value.data()) as Float32Array, golden.p)).toBeLessThan(1e-6);
    expect(worst((await state.get("m.p")!.data()) as Float32Array, golden.m)).toBeLessThan(
      1e-5 * Math.max(...golden.m.map(Math.abs)),
    );
    expect(worst((await state.get("v.p")!.data()) as Float32Array, golden.v)).toBeLessThan(
      1e-5 * Math.max(...golden.v),
    );
    expect(await state.get("step")!.item()).toBe(golden.steps);
  });

  test("follows the formula in f64, decays matrices only, and applies lr and scale of the call", async () => {
    const model = pair();
    const optimizer = new AdamW(model, { lr: 1, betas: [0.8, 0.9], eps: 1e-3, weightDecay: 0.5 });
    const want = { weight: [...MATRIX], bias: [...VECTOR] };
    const moments = { weight: MATRIX.map(() => [0, 0]), bias: VECTOR.map(() => [0, 0]) };
    for (let k = 0; k < 5; k++) {
      const lr = 0.01 * (k + 1);
      optimizer.step(model, gradsAt(k), { lr, scale: tensor(0.25) });
      for (const [name, decay, g] of [
        ["weight", 0.5, slope(k, 12)],
        ["bias", 0, slope(k + 1, 4)],
      ] as const) {
        want[name].forEach((p, i) => {
          const moment = moments[name][i]!;
          moment[0] = 0.8 * moment[0]! + 0.2 * 0.25 * g[i]!;
          moment[1] = 0.9 * moment[1]! + 0.1 * (0.25 * g[i]!) ** 2;
          const [m, v] = [moment[0]! / (1 - 0.8 ** (k + 1)), moment[1]! / (1 - 0.9 ** (k + 1))];
          want[name][i] = p - lr * (decay * p + m / (Math.sqrt(v) + 1e-3));
        });
      }
    }
    expect(worst((await model.weight.value.data()) as Float32Array, want.weight)).toBeLessThan(1e-6);
    expect(worst((await model.bias.value.data()) as Float32Array, want.bias)).toBeLessThan(1e-6);
  });

  test("a skipped step changes nothing, not even its own count", async () => {
    const [model, twin] = [pair(), pair()];
    const [optimizer, other] = [model, twin].map((m) => new AdamW(m, { lr: 0.1 }));
    const bad = gradients({
      weight: tensor(MATRIX.map(() => Number.NaN)).reshape([3, 4]),
      bias: tensor(VECTOR),
    });
    const clip = clipGlobalNorm(bad, 1);
    optimizer!.step(model, bad, clip);
    for (let k = 0; k < 3; k++)
      for (const [m, o] of [
        [model, optimizer],
        [twin, other],
      ] as const)
        o!.step(m, gradsAt(k));
    expect(await model.weight.value.data()).toEqual(await twin.weight.value.data());
    expect(await optimizer!.state().get("step")!.item()).toBe(3);
    expect(await clip.norm.item()).toBeNaN();
  });

  test("parameters without gradient stay as they are", async () => {
    const model = pair();
    new AdamW(model, { lr: 0.1 }).step(model, gradients({ weight: null, bias: tensor(VECTOR) }));
    expect(await model.weight.value.data()).toEqual(Float32Array.from(MATRIX));
  });

  test("goes on from a saved state bit for bit", async () => {
    const [model, twin] = [pair(), pair()];
    const optimizer = new AdamW(model, { lr: 0.1 });
    for (let k = 0; k < 3; k++) optimizer.step(model, gradsAt(k));
    twin.weight.value = keep(model.weight.value.copy());
    twin.bias.value = keep(model.bias.value.copy());
    const other = new AdamW(twin, { lr: 0.1 });
    other.load(new Map([...optimizer.state()].map(([name, t]) => [name, t.copy()])));
    for (const [m, o] of [
      [model, optimizer],
      [twin, other],
    ] as const)
      o.step(m, gradsAt(3));
    expect(await twin.weight.value.data()).toEqual(await model.weight.value.data());
  });

  test("refuses what is not its own", () => {
    const model = pair();
    const optimizer = new AdamW(model, { lr: 0.1 });
    expect(() => optimizer.step(pair(), gradsAt(0))).toThrow(/made for another model/);
    expect(() => optimizer.step(model, gradients({ other: tensor(1) }))).toThrow(/no such parameter/);
    expect(() => optimizer.step(model, gradients({ bias: tensor(MATRIX) }))).toThrow(
      /must be like it, f32\[4\], got f32\[12\]/,
    );
    expect(() => optimizer.load(new Map([["m.bias", tensor(VECTOR)]]))).toThrow(FormatError);
    expect(() => optimizer.load(new Map([["m.bias", tensor(VECTOR)]]))).toThrow(/step is missing/);
    const state = (change: Record<string, Tensor>): Map<string, Tensor> =>
      new Map(
        Object.entries({ step: tensor(1), "m.bias": tensor(VECTOR), "v.bias": tensor(VECTOR), ...change }),
      );
    expect(() => optimizer.load(state({ step: tensor([1]) }))).toThrow(/step must be one number of f32/);
    expect(() => optimizer.load(state({ step: tensor(1, { dtype: "i32" }) }))).toThrow(/step must be one/);
    expect(() => optimizer.load(state({ "v.bias": tensor(VECTOR, { dtype: "bf16" }) }))).toThrow(
      /v\.bias is bf16, the parameter f32/,
    );
    expect(() => new AdamW(model, { lr: -1 })).toThrow(UsageError);
    expect(() => new AdamW(model, { lr: 1, betas: [0.9, 1] })).toThrow(/betas/);
  });
});

describe("SGD", () => {
  test.each([
    { momentum: 0, nesterov: false },
    { momentum: 0.9, nesterov: false },
    { momentum: 0.9, nesterov: true },
  ])("follows the formula with %o", async ({ momentum, nesterov }) => {
    const model = pair();
    const optimizer = new SGD(model, { lr: 0.01, momentum, nesterov, weightDecay: 0.1 });
    const want = [...MATRIX];
    const velocity = MATRIX.map(() => 0);
    for (let k = 0; k < 4; k++) {
      optimizer.step(model, gradsAt(k));
      slope(k, 12).forEach((grad, i) => {
        const g = grad + 0.1 * want[i]!;
        velocity[i] = momentum * velocity[i]! + g;
        want[i]! -= 0.01 * (nesterov ? g + momentum * velocity[i]! : velocity[i]!);
      });
    }
    expect(worst((await model.weight.value.data()) as Float32Array, want)).toBeLessThan(2e-5);
    expect([...optimizer.state().keys()]).toEqual(momentum === 0 ? [] : ["velocity.weight", "velocity.bias"]);
  });
});

describe("clipGlobalNorm", () => {
  test("gives PyTorch's norm and coefficient", async () => {
    const golden = cases.find(({ op }) => op === "clip_grad_norm")!;
    const grads = gradients(
      Object.fromEntries([31, 64, 7].map((n, j) => [`g${j}`, tensor(fill(`clip.g${j}`, n, 3))])),
    );
    const { norm, scale, skip } = clipGlobalNorm(grads, 1);
    expect(Math.abs((await norm.item()) / golden.norm - 1)).toBeLessThan(1e-6);
    expect(Math.abs((await scale.item()) / golden.coefficient - 1)).toBeLessThan(1e-6);
    expect(await skip.item()).toBe(0);
  });

  test("leaves small gradients alone and skips those that are not finite", async () => {
    const small = clipGlobalNorm(gradients({ g: tensor([0.3, 0.4]) }), 1);
    expect([await small.scale.item(), await small.skip.item()]).toEqual([1, 0]);
    for (const bad of [Number.NaN, Number.POSITIVE_INFINITY]) {
      expect(await clipGlobalNorm(gradients({ g: tensor([1, bad]) }), 1).skip.item()).toBe(1);
    }
    expect(await clipGlobalNorm(gradients({ g: tensor([1]) }), 1, [tensor(Number.NaN)]).skip.item()).toBe(1);
    expect(() => clipGlobalNorm(gradients({}), 1)).toThrow(/no gradients/);
    expect(() => clipGlobalNorm(gradients({ g: tensor([1]) }), 0)).toThrow(/max must be above 0, got 0/);
  });
});
