import { addRmsNorm, autocast, type DType, Generator, normal, rmsNorm, type Tensor } from "@openelm/tensor";
import "@openelm/testing/vitest";
import { describe, expect, test } from "vitest";
import { vjp } from "../src/index.js";

/** Dtypes of stream, branch and weight. */
const SIGNATURES: readonly (readonly [DType, DType, DType])[] = [
  ["f64", "f64", "f64"],
  ["f32", "f32", "f32"],
  ["bf16", "bf16", "bf16"],
  ["f16", "f16", "f16"],
  ["bf16", "bf16", "f32"],
  ["f16", "f16", "f32"],
  ["f32", "bf16", "f32"],
  ["f32", "f16", "f32"],
];

const random = (shape: readonly number[], dtype: DType, seed: number): Tensor =>
  normal(shape, { dtype: "f64", generator: new Generator(seed) }).to(dtype);

type Block = (x: Tensor, branch: Tensor, weight: Tensor) => [Tensor, Tensor];

const fused: Block = (x, branch, weight) => {
  const { sum, y } = addRmsNorm(x, branch, weight, { eps: 1e-5 });
  return [sum, y];
};

const composed: Block = (x, branch, weight) => {
  const sum = x.add(branch);
  return [sum, rmsNorm(sum, weight, { eps: 1e-5 }).to(branch.dtype)];
};

describe("add_rms_norm is add, rms_norm and a cast", () => {
  for (const [stream, half, weight] of SIGNATURES) {
    for (const shape of [
      [3, 8],
      [2, 40, 33],
      [5, 1280],
    ]) {
      const inputs = (): [Tensor, Tensor, Tensor] => [
        random(shape, stream, 1),
        random(shape, half, 2),
        random([shape.at(-1)!], weight, 3),
      ];

      test(`to the bit, ${stream} + ${half}, weight ${weight}, [${shape}]`, () => {
        const [[sum, y], [wantedSum, wantedY]] = [fused(...inputs()), composed(...inputs())];
        expect([sum.dtype, y.dtype]).toEqual([stream, half]);
        expect(sum.dataSync()).toEqual(wantedSum.dataSync());
        expect(y.dataSync()).toEqual(wantedY.dataSync());
      });

      test(`in its gradient, ${stream} + ${half}, weight ${weight}, [${shape}]`, () => {
        const cotangents = [random(shape, stream, 4), random(shape, half, 5)];
        const [grads, wanted] = [fused, composed].map((f) => vjp(f, inputs()).pull(cotangents) as Tensor[]);
        expect(grads!.map(({ dtype }) => dtype)).toEqual([stream, half, weight]);
        grads!.forEach((grad, i) => {
          // Of a half-precision stream the composition rounds the cotangent of the norm before it is added.
          if (stream === "f32" || stream === "f64") expect(grad.dataSync()).toEqual(wanted![i]!.dataSync());
          else expect(grad.to("f64")).toBeAllClose(wanted![i]!.to("f64"), { rtol: 0, atol: 0.05 });
        });
      });
    }
  }

  test("where only one of its results has a cotangent", () => {
    const shape = [4, 24];
    for (const result of [0, 1]) {
      const pulled = [fused, composed].map((f) => {
        const one = (...inputs: [Tensor, Tensor, Tensor]): Tensor => f(...inputs)[result]!;
        const inputs = [random(shape, "f32", 1), random(shape, "bf16", 2), random([24], "f32", 3)] as const;
        const { value, pull } = vjp(one, [...inputs]);
        return pull(random(shape, value.dtype, 4)) as (Tensor | null)[];
      });
      const [grads, wanted] = pulled.map((gs) => gs.map((g) => g?.dataSync()));
      expect(grads).toEqual(wanted);
    }
  });

  test("and one tensor may be both terms", () => {
    const x = random([3, 16], "f32", 1);
    const weight = random([16], "f32", 2);
    const pulled = [fused, composed].map((f) => {
      const { pull } = vjp((both: Tensor, w: Tensor) => f(both, both, w), [x, weight]);
      return (pull([x, x]) as Tensor[]).map((grad) => grad.dataSync());
    });
    expect(pulled[0]).toEqual(pulled[1]);
  });

  test("with an f32 stream kept in f32 under autocast", () => {
    const { sum, y } = autocast("bf16", () =>
      addRmsNorm(random([2, 8], "f32", 1), random([2, 8], "bf16", 2), random([8], "f32", 3)),
    );
    expect([sum.dtype, y.dtype]).toEqual(["f32", "bf16"]);
  });
});
