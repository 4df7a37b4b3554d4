import { inspect } from "node:util";
import { describe, expect, test } from "vitest";
import { arange, linspace, tensor, zeros } from "../src/index.js";

const lines = (...text: string[]): string => text.join("\n");
const { NaN: nan, POSITIVE_INFINITY: inf } = Number;

// The bodies are what NumPy 2 prints for the same arrays of the same dtype.
describe("toString", () => {
  test.each([
    [tensor([1, 2, 3]), "tensor([1., 2., 3.])"],
    [tensor(3), "tensor(3.)"],
    [tensor([1.5, 2.25]), "tensor([1.5 , 2.25])"],
    [tensor([-1, 10.125, 0]), "tensor([-1.   , 10.125,  0.   ])"],
    [tensor([0.1, 0.2]), "tensor([0.1, 0.2])"],
    [tensor([0.1 + 0.2], { dtype: "f64" }), "tensor([0.3], dtype=f64)"],
    [tensor([1 / 3]), "tensor([0.33333334])"],
    [tensor([1 / 3], { dtype: "f64" }), "tensor([0.33333333], dtype=f64)"],
    [tensor([1 / 3], { dtype: "bf16" }), "tensor([0.334], dtype=bf16)"],
    [tensor([1 / 3], { dtype: "f16" }), "tensor([0.3333], dtype=f16)"],
    [tensor([1e10, 1.5]), "tensor([1.0e+10, 1.5e+00])"],
    [tensor([1e-5, 1]), "tensor([1.e-05, 1.e+00])"],
    [tensor([1e-100], { dtype: "f64" }), "tensor([1.e-100], dtype=f64)"],
    [tensor([123456.789, 1000]), "tensor([123456.79,   1000.  ])"],
    [tensor([nan, inf, -inf, 1]), "tensor([ nan,  inf, -inf,   1.])"],
    [tensor([nan]), "tensor([nan])"],
    [tensor([-0]), "tensor([-0.])"],
    [tensor([1, -20], { dtype: "i32" }), "tensor([  1, -20], dtype=i32)"],
    [tensor([2n ** 60n]), "tensor([1152921504606846976], dtype=i64)"],
    [tensor([true, false]), "tensor([ true, false], dtype=bool)"],
    [
      tensor([
        [1, 2],
        [3, 4],
      ]),
      lines("tensor([[1., 2.],", "        [3., 4.]])"),
    ],
    [
      tensor([
        [[1], [2]],
        [[3], [4]],
      ]),
      lines("tensor([[[1.],", "         [2.]],", "", "        [[3.],", "         [4.]]])"),
    ],
    [zeros([0]), "tensor([])"],
    [zeros([0, 3], { dtype: "i8" }), "tensor([], shape=[0, 3], dtype=i8)"],
    [zeros([2, 3], { device: "meta" }), "tensor(..., shape=[2, 3], device=meta)"],
    [arange(1001), "tensor([   0.,    1.,    2., ...,  998.,  999., 1000.], shape=[1001])"],
    [
      arange(2000, { dtype: "i32" }),
      "tensor([   0,    1,    2, ..., 1997, 1998, 1999], shape=[2000], dtype=i32)",
    ],
  ])("%#", (x, text) => {
    expect(String(x)).toBe(text);
  });

  test("long rows are broken at 75 columns", () => {
    expect(String(arange(30, { dtype: "i32" }))).toBe(
      lines(
        "tensor([ 0,  1,  2,  3,  4,  5,  6,  7,  8,  9, 10, 11, 12, 13, 14, 15, 16,",
        "        17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29], dtype=i32)",
      ),
    );
  });

  test("large ones show three of each end of each long axis", () => {
    expect(String(arange(2000, { dtype: "i32" }).reshape([2, 1000]))).toBe(
      lines(
        "tensor([[   0,    1,    2, ...,  997,  998,  999],",
        "        [1000, 1001, 1002, ..., 1997, 1998, 1999]],",
        "       shape=[2, 1000], dtype=i32)",
      ),
    );
    expect(String(zeros([100, 100])).split("\n")).toEqual([
      "tensor([[0., 0., 0., ..., 0., 0., 0.],",
      "        [0., 0., 0., ..., 0., 0., 0.],",
      "        [0., 0., 0., ..., 0., 0., 0.],",
      "        ...,",
      "        [0., 0., 0., ..., 0., 0., 0.],",
      "        [0., 0., 0., ..., 0., 0., 0.],",
      "        [0., 0., 0., ..., 0., 0., 0.]], shape=[100, 100])",
    ]);
  });

  test("values print to 8 digits after the point, and shorter where that names them", () => {
    for (const value of linspace(0.001, 9, 200).dataSync()) {
      const [, digits] = /\[(.*)\]/.exec(String(tensor([value])))!;
      expect(Math.abs(Number(digits) - value)).toBeLessThanOrEqual(0.5e-8 + value * 2 ** -24);
      expect(digits!.length).toBeLessThanOrEqual(10);
    }
  });
});

describe("inspect", () => {
  test("console.log shows the values, also inside objects, and never throws", () => {
    const x = tensor([1, 2]);
    expect(inspect({ x })).toBe("{ x: tensor([1., 2.]) }");
    x.dispose();
    expect(inspect(x)).toBe("tensor(..., freed, shape=[2])");
  });

  test("a tensor whose computation failed shows why", () => {
    const x = tensor([1, 2]).take(tensor(new Int32Array([9])));
    expect(inspect(x)).toMatch(/^tensor\(<\[INDEX_OUT_OF_RANGE\] take.*>, shape=\[1\]\)$/s);
  });

  test("a tensor is neither a number nor JSON", () => {
    const x = tensor(1);
    expect(() => Number(x)).toThrow("a.mul(2)");
    expect(() => JSON.stringify({ x })).toThrow("array()");
    expect(`${x}`).toBe("tensor(1.)");
  });
});
