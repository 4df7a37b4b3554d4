import { describe, expect, test } from "vitest";
import {
  arange,
  DTYPES,
  eye,
  full,
  fullLike,
  linspace,
  ones,
  onesLike,
  tensor,
  withDefaults,
  zeros,
  zerosLike,
} from "../src/index.js";

describe("fill", () => {
  test.each(DTYPES)("zeros and ones are such in %s, also with empty shapes", (dtype) => {
    const asNumbers = (values: ArrayLike<number | bigint>): number[] => Array.from(values, Number);
    expect(asNumbers(zeros([2, 3], { dtype }).dataSync())).toEqual([0, 0, 0, 0, 0, 0]);
    expect(asNumbers(ones([2], { dtype }).dataSync())).toEqual([1, 1]);
    expect(zeros([0, 3], { dtype }).arraySync()).toEqual([]);
    expect(asNumbers(ones([], { dtype }).dataSync())).toEqual([1]);
  });

  test("full takes the dtype of booleans and bigints, else the default", () => {
    expect(full([1], true).dtype).toBe("bool");
    expect(full([1], 5n).dtype).toBe("i64");
    expect(full([1], 5).dtype).toBe("f32");
    expect(withDefaults({ dtype: "bf16" }, () => full([1], 5)).dtype).toBe("bf16");
    expect(() => full([1], 0.5, { dtype: "i32" })).toThrow("not a value of i32");
    expect(() => full([1], 256, { dtype: "u8" })).toThrow("not a value of u8");
    expect(() => full([1], 2, { dtype: "bool" })).toThrow("not a value of bool");
  });

  test("the likes keep shape, dtype and device unless told", () => {
    const x = zeros([2, 1], { dtype: "f64", device: "meta" });
    expect(
      [zerosLike(x), onesLike(x), fullLike(x, 3)].map((t) => `${t.dtype} ${t.device} ${t.shape}`),
    ).toEqual(["f64 meta 2,1", "f64 meta 2,1", "f64 meta 2,1"]);
    expect(fullLike(tensor([1, 2]), 7, { dtype: "i8" }).arraySync()).toEqual([7, 7]);
  });

  test("refuses shapes that are none", () => {
    expect(() => zeros([-1])).toThrow();
    expect(() => zeros([1.5])).toThrow();
    expect(() => zeros([2 ** 40, 2 ** 40])).toThrow();
  });
});

describe("ranges", () => {
  test("arange counts as NumPy does", () => {
    expect(arange(3).arraySync()).toEqual([0, 1, 2]);
    expect(arange(1, 4).arraySync()).toEqual([1, 2, 3]);
    expect(arange(5, 0, -2).arraySync()).toEqual([5, 3, 1]);
    expect(arange(0, 1, 0.25).arraySync()).toEqual([0, 0.25, 0.5, 0.75]);
    expect(arange(2.5).arraySync()).toEqual([0, 1, 2]);
    expect(arange(3, 1).shape).toEqual([0]);
    expect(arange(0).shape).toEqual([0]);
    expect(arange(3, { dtype: "i64" }).dataSync()).toEqual(new BigInt64Array([0n, 1n, 2n]));
    expect(() => arange(0, 1, 0)).toThrow("step other than 0");
    expect(() => arange(Number.NaN)).toThrow("finite");
  });

  test("linspace hits both ends exactly", () => {
    const x = linspace(0.1, 0.7, 7, { dtype: "f64" }).dataSync();
    expect([x[0], x[6], x.length]).toEqual([0.1, 0.7, 7]);
    expect(linspace(0, 1, 5).arraySync()).toEqual([0, 0.25, 0.5, 0.75, 1]);
    expect(linspace(0, 1, 4, { endpoint: false }).arraySync()).toEqual([0, 0.25, 0.5, 0.75]);
    expect(linspace(3, 5, 1).arraySync()).toEqual([3]);
    expect(linspace(0, 1, 0).shape).toEqual([0]);
  });

  test("eye puts ones on a diagonal", () => {
    expect(eye(2).arraySync()).toEqual([
      [1, 0],
      [0, 1],
    ]);
    expect(eye(2, { columns: 3, diagonal: 1 }).arraySync()).toEqual([
      [0, 1, 0],
      [0, 0, 1],
    ]);
    expect(eye(3, { columns: 2, diagonal: -1, dtype: "i32" }).arraySync()).toEqual([
      [0, 0],
      [1, 0],
      [0, 1],
    ]);
    expect(eye(2, { dtype: "bool" }).arraySync()).toEqual([
      [true, false],
      [false, true],
    ]);
  });
});

describe("numbers beside tensors", () => {
  test("a number that the dtype has not is refused, also for bool", () => {
    expect(() => tensor([1], { dtype: "i32" }).add(0.5)).toThrow("not a value of i32");
    expect(() => tensor([true]).eq(2)).toThrow("not a value of bool");
    expect(() => tensor([1n]).add(2n ** 63n)).toThrow("not a value of i64");
    expect(
      tensor([1n])
        .add(2n ** 53n + 1n)
        .dataSync(),
    ).toEqual(new BigInt64Array([2n ** 53n + 2n]));
  });

  test("indices may come as any integers, but as whole numbers only", () => {
    const x = tensor([10, 20, 30]);
    expect(x.take(tensor([2n, 0n])).arraySync()).toEqual([30, 10]);
    expect(x.take(tensor(new Uint8Array([1]))).arraySync()).toEqual([20]);
    expect(x.take([1, -1]).arraySync()).toEqual([20, 30]);
    expect(() => x.take([0.5])).toThrow("no index");
  });
});
