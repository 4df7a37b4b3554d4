import { defineOp } from "@openelm/autograd";
import { keep, ones, type Tensor, tensor, uniform } from "@openelm/tensor";
import { describe, expect, test } from "vitest";
import {
  allClose,
  CheckError,
  expectNoLeaks,
  gradCheck,
  opcheck,
  settledTensors,
  strided,
} from "../src/index.js";
import "../src/vitest.js";

const f64 = (shape: readonly number[]): Tensor => uniform(shape, { low: 0.5, high: 2, dtype: "f64" });

describe("toBeAllClose", () => {
  test("takes tensors, arrays and numbers, by the tolerance of the dtype", () => {
    expect(tensor([1, 2])).toBeAllClose([1.000001, 2]);
    expect(tensor([1, 2])).not.toBeAllClose([1.0001, 2]);
    expect(tensor([1, 2], { dtype: "bf16" })).toBeAllClose([1.01, 2]);
    expect(tensor([3, 3])).toBeAllClose(3);
    expect(tensor([1, Number.NaN, Number.POSITIVE_INFINITY])).toBeAllClose([
      1,
      Number.NaN,
      Number.POSITIVE_INFINITY,
    ]);
    expect(tensor([1, 2], { dtype: "i32" })).not.toBeAllClose(tensor([1, 3], { dtype: "i32" }));
  });

  test("names the worst place", () => {
    expect(
      allClose(
        tensor([
          [1, 2],
          [3.5, 4],
        ]),
        [
          [1, 2.1],
          [3, 4],
        ],
      ).message,
    ).toMatch(/0\.5 at \[1, 0\]: 3\.5, expected 3 /);
    expect(allClose(tensor([1, Number.NaN]), [1, 2]).message).toMatch(/at \[1\]: NaN, expected 2/);
    expect(allClose(tensor([1, 2]), [[1, 2]]).message).toBe("shape is [2], expected [1, 2]");
    expect(() => allClose(3, [3])).toThrow(/got no tensor/);
  });
});

describe("strided", () => {
  test.each([[[]], [[5]], [[3, 4]], [[2, 3, 4]], [[0, 3]]])("keeps the values of shape %j", (shape) => {
    const x = f64(shape);
    expect(strided(x)).toBeAllClose(x, { rtol: 0, atol: 0 });
  });
});

describe("gradCheck", () => {
  test("passes a right gradient and wants f64", () => {
    gradCheck((x, y) => x.mul(y).exp(), [f64([3, 2]), f64([2])]);
    expect(() => gradCheck((x) => x.exp(), [tensor([1])])).toThrow(/input 0 is f32/);
  });

  test.each([0, 1])("catches a gradient of input %i that is off by 0.1 %%", (wrong) => {
    const product = defineOp({
      name: "product",
      forward: (a: Tensor, b: Tensor) => [a.mul(b)] as const,
      vjp: ({ inputs: [a, b], grads: [g] }) =>
        [g!.mul(b), g!.mul(a)].map((grad, i) => (i === wrong ? grad.mul(1.001) : grad)),
    });
    expect(() => gradCheck((a, b) => product(a, b)[0], [f64([4]), f64([4])])).toThrow(
      new RegExp(`derivative for input ${wrong} is`),
    );
  });

  test("catches NaN", () => {
    const op = defineOp({
      name: "nan",
      forward: (x: Tensor) => [x.mul(1)] as const,
      vjp: ({ grads: [g] }) => [g!.mul(Number.NaN)],
    });
    expect(() => gradCheck((x) => op(x)[0], [f64([2])])).toThrow(CheckError);
  });
});

describe("opcheck", () => {
  const square = {
    name: "square",
    forward: (x: Tensor) => [x.mul(x)] as const,
    vjp: ({ inputs: [x], grads: [g] }: { inputs: readonly [Tensor]; grads: readonly (Tensor | null)[] }) => [
      g!.mul(x).mul(2),
    ],
    reference: (x: Tensor) => [x.square()] as const,
  };

  test("passes a right op, in every way", () => {
    expect(opcheck(defineOp(square), [f64([3, 4])])).toEqual({ checked: 14 });
    expect(
      opcheck(defineOp({ name: "plain", forward: square.forward, vjp: square.vjp }), [f64([3])]),
    ).toEqual({ checked: 8 });
  });

  test("says what does not hold", () => {
    const changing = (x: Tensor): Tensor[] => {
      x.setAt([0], 1);
      return [x.mul(x)];
    };
    const check = (changes: object) => () => opcheck(defineOp({ ...square, ...changes }), [f64([3, 4])]);
    expect(check({ reference: (x: Tensor) => [x.pow(3)] })).toThrow(
      /square \(row-major inputs\): result 0 is not that/,
    );
    expect(check({ vjp: ({ grads: [g] }: { grads: Tensor[] }) => [g!] })).toThrow(
      /by vjp but .* by central difference/,
    );
    expect(check({ forward: changing })).toThrow(/changed input 0/);
    let calls = 0;
    expect(check({ forward: (x: Tensor) => [x.mul(x).add(calls++ * 1e-12)] })).toThrow(
      /second call gave other bits/,
    );
    expect(() => opcheck(defineOp(square), [tensor([1])])).toThrow(/f32, checks want f64/);
  });
});

describe("settledTensors", () => {
  test("does not count what was dropped", async () => {
    const before = await settledTensors();
    const kept: Tensor[] = [];
    // In a function of its own: what a frame's registers still hold is not dropped.
    (() => {
      for (let i = 0; i < 100; i++) ones([2000]);
      kept.push(ones([1]));
    })();
    expect(await settledTensors()).toBe(before + 1);
    kept[0]?.dispose();
    expect(await settledTensors()).toBe(before);
  });
});

describe("expectNoLeaks", () => {
  test("counts what is left", () => {
    const x = f64([2]);
    expectNoLeaks(() => void x.exp().sin());
    const kept: Tensor[] = [];
    expect(() => expectNoLeaks(() => void kept.push(keep(x.exp()), keep(x.sin())))).toThrow(
      /2 tensors outlived/,
    );
  });
});
