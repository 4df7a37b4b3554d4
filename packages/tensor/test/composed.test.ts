import { describe, expect, test } from "vitest";
import {
  allclose,
  allcloseSync,
  arange,
  type DType,
  isclose,
  linspace,
  norm,
  stack,
  std,
  type Tensor,
  tensor,
  unique,
  variance,
  zeros,
} from "../src/index.js";
import { build, dice, get, iota, type Nd, nested } from "./reference.js";

const of = (x: Nd): Tensor => tensor([...x.values], { shape: x.shape });
const SHAPES = [[], [1], [5], [3, 4], [2, 1, 3], [2, 0, 3], [2, 3, 2, 2]];

describe("views", () => {
  test("transpose swaps two axes", () => {
    const x = arange(6).reshape([2, 3]);
    expect(x.transpose().arraySync()).toEqual([
      [0, 3],
      [1, 4],
      [2, 5],
    ]);
    expect(zeros([2, 3, 4]).transpose(0, -1).shape).toEqual([4, 3, 2]);
    expect(() => zeros([3]).transpose()).toThrow("axis -2 is out of range for 1 axes");
  });

  test("expandDims and squeeze undo each other", () => {
    for (const shape of SHAPES) {
      for (let axis = -shape.length - 1; axis <= shape.length; axis++) {
        expect(zeros(shape).expandDims(axis).squeeze({ axis }).shape).toEqual(shape);
      }
    }
    expect(zeros([2]).expandDims([0, 2]).shape).toEqual([1, 2, 1]);
    expect(zeros([1, 3, 1]).squeeze().shape).toEqual([3]);
    expect(() => zeros([2]).squeeze({ axis: 0 })).toThrow("must have size 1");
    expect(() => zeros([2]).expandDims([0, 0])).toThrow("twice");
  });

  test("flatten merges a range of axes", () => {
    expect(zeros([2, 3, 4]).flatten({ start: 1 }).shape).toEqual([2, 12]);
    expect(zeros([2, 3, 4]).flatten({ end: 1 }).shape).toEqual([6, 4]);
    expect(zeros([]).flatten().shape).toEqual([1]);
    expect(arange(6).reshape([2, 3]).transpose().flatten().arraySync()).toEqual([0, 3, 1, 4, 2, 5]);
    expect(() => zeros([2, 3]).flatten({ start: 1, end: 0 })).toThrow("must not come after");
  });

  test("flip turns axes around, whatever their size", () => {
    for (const shape of SHAPES) {
      const x = iota(shape);
      const expected = build(shape, (index) =>
        get(
          x,
          index.map((i, axis) => shape[axis]! - 1 - i),
        ),
      );
      expect(of(x).flip().arraySync()).toEqual(nested(expected));
    }
    expect(arange(4).reshape([2, 2]).flip({ axis: 1 }).arraySync()).toEqual([
      [1, 0],
      [3, 2],
    ]);
  });

  test("split, chunk and unbind cut without copying, and concat joins again", () => {
    const x = arange(12).reshape([6, 2]);
    expect(x.split(3).map((part) => part.arraySync())).toEqual([
      [
        [0, 1],
        [2, 3],
      ],
      [
        [4, 5],
        [6, 7],
      ],
      [
        [8, 9],
        [10, 11],
      ],
    ]);
    expect(x.split([1, 0, 5]).map((part) => part.shape[0])).toEqual([1, 0, 5]);
    expect(x.split([1, 1], { axis: -1 }).map((part) => part.shape)).toEqual([
      [6, 1],
      [6, 1],
    ]);
    expect(
      arange(5)
        .chunk(2)
        .map((part) => part.arraySync()),
    ).toEqual([
      [0, 1, 2],
      [3, 4],
    ]);
    expect(
      arange(5)
        .chunk(4)
        .map((part) => part.size),
    ).toEqual([2, 2, 1]);
    expect(x.unbind(1).map((part) => part.arraySync())).toEqual([
      [0, 2, 4, 6, 8, 10],
      [1, 3, 5, 7, 9, 11],
    ]);
    expect(() => x.split(4)).toThrow("cannot be cut into 4 equal parts");
    expect(() => x.split([1, 2])).toThrow("add up to 3, axis 0 has 6");
    expect(() => x.chunk(0)).toThrow("at least 1");
    x.unbind()[0]!.setAt([], 99);
    expect(x.at(0).arraySync()).toEqual([99, 99]);
  });
});

describe("copies", () => {
  test("stack makes a new axis anywhere", () => {
    const [a, b] = [tensor([1, 2]), tensor([3, 4])];
    expect(stack([a, b]).arraySync()).toEqual([
      [1, 2],
      [3, 4],
    ]);
    expect(stack([a, b], { axis: -1 }).arraySync()).toEqual([
      [1, 3],
      [2, 4],
    ]);
    expect(() => stack([a, zeros([3])])).toThrow("one shape");
    expect(() => stack([])).toThrow("at least one");
  });

  test("repeat repeats elements, tile the whole", () => {
    expect(tensor([1, 2]).repeat(2).arraySync()).toEqual([1, 1, 2, 2]);
    expect(
      tensor([
        [1, 2],
        [3, 4],
      ])
        .repeat(2, { axis: 1 })
        .arraySync(),
    ).toEqual([
      [1, 1, 2, 2],
      [3, 3, 4, 4],
    ]);
    expect(
      tensor([[1], [2]])
        .repeat([1, 3], { axis: 0 })
        .arraySync(),
    ).toEqual([[1], [2], [2], [2]]);
    expect(tensor([1, 2]).repeat(0).shape).toEqual([0]);
    expect(tensor([1, 2]).tile([2, 2]).arraySync()).toEqual([
      [1, 2, 1, 2],
      [1, 2, 1, 2],
    ]);
    expect(
      tensor([[1], [2]])
        .tile(2)
        .arraySync(),
    ).toEqual([
      [1, 1],
      [2, 2],
    ]);
    expect(() => tensor([1, 2]).repeat([1])).toThrow("1 repeats do not fit");
    expect(() => tensor([1, 2]).repeat(-1)).toThrow("from 0");
  });

  test("roll goes round, by any shift", () => {
    const x = iota([3, 4]);
    for (const shift of [-9, -1, 0, 1, 2, 13]) {
      const expected = build([3, 4], ([i, j]) => get(x, [i!, (((j! - shift) % 4) + 4) % 4]));
      expect(of(x).roll(shift, { axis: 1 }).arraySync()).toEqual(nested(expected));
    }
    expect(tensor([1, 2, 3]).roll(1).arraySync()).toEqual([3, 1, 2]);
    expect(arange(4).reshape([2, 2]).roll(1).arraySync()).toEqual([
      [3, 0],
      [1, 2],
    ]);
    expect(
      arange(4)
        .reshape([2, 2])
        .roll([1, 1], { axis: [0, 1] })
        .arraySync(),
    ).toEqual([
      [3, 2],
      [1, 0],
    ]);
    expect(zeros([0, 2]).roll(1, { axis: 0 }).shape).toEqual([0, 2]);
  });
});

describe("statistics", () => {
  const values = [2, -1, 0.5, 7, 3, -4];
  const average = (list: readonly number[]): number => list.reduce((a, b) => a + b, 0) / list.length;
  const spread = (list: readonly number[]): number => average(list.map((v) => (v - average(list)) ** 2));

  test("variance and std follow their definition", () => {
    const x = tensor(values, { dtype: "f64", shape: [2, 3] });
    expect(variance(x).itemSync()).toBeCloseTo(spread(values), 12);
    expect(variance(x, { correction: 1 }).itemSync()).toBeCloseTo((spread(values) * 6) / 5, 12);
    expect(std(x, { axis: 1, keepDims: true }).shape).toEqual([2, 1]);
    expect(std(x, { axis: -1 }).dataSync()[1]).toBeCloseTo(Math.sqrt(spread(values.slice(3))), 12);
    expect(variance(tensor([1, 2, 3, 4], { dtype: "i32" })).itemSync()).toBe(1.25);
    expect(Number.isNaN(variance(zeros([0])).itemSync())).toBe(true);
  });

  test("variance in half precision rounds once, not at every step", () => {
    const x = linspace(100, 101, 64, { dtype: "bf16" });
    const exact = variance(x.to("f64")).itemSync();
    expect(variance(x).dtype).toBe("bf16");
    expect(Math.abs(variance(x).itemSync() - exact)).toBeLessThanOrEqual(exact * 2 ** -8);
  });

  test("norms of 1, 2 and infinity", () => {
    const x = tensor([
      [3, -4],
      [0, 5],
    ]);
    expect(norm(x, { axis: 1 }).arraySync()).toEqual([5, 5]);
    expect(norm(x, { p: 1 }).itemSync()).toBe(12);
    expect(norm(x, { p: Number.POSITIVE_INFINITY, axis: 0, keepDims: true }).arraySync()).toEqual([[3, 5]]);
    expect(norm(tensor([3n, 4n])).itemSync()).toBe(5);
    expect(() => norm(x, { p: 3 })).toThrow("p must be 1, 2 or Infinity");
  });

  test("softplus neither overflows nor loses small values", () => {
    const [low, small, zero, high] = tensor([-1000, -20, 0, 1000], { dtype: "f64" }).softplus().dataSync();
    expect([low, high]).toEqual([0, 1000]);
    expect(zero).toBeCloseTo(Math.LN2, 15);
    expect(small! / Math.log1p(Math.exp(-20))).toBeCloseTo(1, 12);
  });
});

describe("order and masks", () => {
  test("argsort is stable and puts NaN last", () => {
    expect(tensor([30, 10, 20]).argsort().arraySync()).toEqual([1, 2, 0]);
    expect(tensor([1, 0, 1, 0]).argsort().arraySync()).toEqual([1, 3, 0, 2]);
    expect(tensor([Number.NaN, 1]).argsort({ descending: true }).arraySync()).toEqual([1, 0]);
  });

  test("maskedFill and maskedSelect", async () => {
    const x = tensor([
      [1, -2],
      [3, -4],
    ]);
    expect(x.maskedFill(x.lt(0), Number.NEGATIVE_INFINITY).arraySync()).toEqual([
      [1, Number.NEGATIVE_INFINITY],
      [3, Number.NEGATIVE_INFINITY],
    ]);
    expect(await (await x.maskedSelect(x.gt(0))).array()).toEqual([1, 3]);
    expect(x.maskedSelectSync(tensor([true, false])).arraySync()).toEqual([1, 3]);
    await expect(x.maskedSelect(x as never)).rejects.toThrow("mask must be bool");
    expect(() => tensor([1], { dtype: "i32" }).maskedFill(tensor([true]), 0.5)).toThrow("not a value");
  });

  test("nonzero lists positions for each axis", async () => {
    const [rows, columns] = await tensor([
      [0, 1],
      [2, 0],
    ]).nonzero();
    expect([rows!.arraySync(), columns!.arraySync()]).toEqual([
      [0, 1],
      [1, 0],
    ]);
    expect(tensor([Number.NaN, -0]).nonzeroSync()[0]!.arraySync()).toEqual([0]);
    expect(
      zeros([0, 2])
        .nonzeroSync()
        .map((t) => t.shape),
    ).toEqual([[0], [0]]);
  });

  test.each(["f32", "i64", "i32", "u8", "bf16"] as DType[])(
    "unique finds each %s once, sorted",
    async (dtype) => {
      const roll = dice(5);
      const drawn = Array.from({ length: 60 }, () => roll(9));
      const x = tensor(drawn, { dtype, shape: [6, 10] });
      const { values, inverse, counts } = await unique(x);
      const expected = [...new Set(drawn)].sort((a, b) => a - b);
      expect(values.dtype).toBe(dtype);
      expect(values.arraySync()).toEqual(expected);
      expect(counts.arraySync()).toEqual(expected.map((v) => drawn.filter((d) => d === v).length));
      expect(values.take(inverse).arraySync()).toEqual(x.arraySync());
    },
  );

  test("unique takes all NaN for one", () => {
    const { values, counts } = tensor([Number.NaN, 1, Number.NaN, -0, 0]).uniqueSync();
    expect(values.arraySync()).toEqual([-0, 1, Number.NaN]);
    expect(counts.arraySync()).toEqual([2, 1, 2]);
  });

  test("isclose knows infinities, NaN and which side the tolerance is of", async () => {
    const a = tensor([1, Number.POSITIVE_INFINITY, Number.NaN, Number.POSITIVE_INFINITY]);
    const b = tensor([1 + 1e-6, Number.POSITIVE_INFINITY, Number.NaN, 1]);
    expect(isclose(a, b).arraySync()).toEqual([true, true, false, false]);
    expect(isclose(a, b, { equalNan: true }).arraySync()).toEqual([true, true, true, false]);
    expect(await allclose(tensor([1]), tensor([1.1]))).toBe(false);
    expect(allcloseSync(tensor([100]), tensor([101]), { rtol: 0, atol: 1 })).toBe(true);
    expect(allcloseSync(tensor([2n ** 40n]), tensor([2n ** 40n + 1n]), { rtol: 0, atol: 0 })).toBe(false);
  });
});
