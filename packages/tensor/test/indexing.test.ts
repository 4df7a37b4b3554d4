import { describe, expect, test } from "vitest";
import {
  arange,
  type IndexItem,
  internal,
  isOpenELMError,
  ones,
  scope,
  type Tensor,
  tensor,
  zeros,
} from "../src/index.js";
import { type Item, index, sources } from "./indexing-reference.js";
import { count, dice, indices, iota, nested, offset } from "./reference.js";

const x34 = (): Tensor => arange(12).reshape([3, 4]);
const asItem = (item: Item): IndexItem =>
  typeof item === "object" && item !== null
    ? tensor(Int32Array.from(item.positions), { shape: item.shape })
    : item;

/** A random index of a random shape; lists only where asked for. */
function randomIndex(roll: (n: number) => number, lists: number): { shape: number[]; items: Item[] } {
  const shape = Array.from({ length: 1 + roll(4) }, () => 1 + roll(5));
  const common = Array.from({ length: roll(3) }, () => 1 + roll(3));
  let left = lists;
  const named = roll(shape.length + 1);
  const items: Item[] = [];
  for (const [axis, size] of shape.slice(0, named).entries()) {
    if (roll(6) === 0) items.push(null);
    const maybe = (): string => (roll(3) === 0 ? "" : String(roll(2 * size + 3) - size - 1));
    const steps = ["", "", "1", "2", "3", "-1", "-2"];
    if (left > 0 && (roll(2) === 0 || named - axis <= left)) {
      left--;
      const own = common.map((dim) => (roll(4) === 0 ? 1 : dim));
      items.push({ shape: own, positions: Array.from({ length: count(own) }, () => roll(2 * size) - size) });
    } else if (roll(3) === 0) items.push(roll(2 * size) - size);
    else items.push(`${maybe()}:${maybe()}:${steps[roll(steps.length)]}`);
  }
  if (roll(2) === 0) items.splice(roll(items.length + 1), 0, "...");
  // What follows an ellipsis is tied to the last axes: keep indices inside them.
  const dots = items.indexOf("...");
  const after = dots < 0 ? [] : items.slice(dots + 1).filter((item) => item !== null);
  const moved = shape.slice(shape.length - after.length);
  const kept = after.every((item, i) => {
    const size = moved[i]!;
    const inside = (position: number): boolean => position >= -size && position < size;
    return typeof item === "number"
      ? inside(item)
      : typeof item === "object" && item
        ? item.positions.every(inside)
        : true;
  });
  return { shape, items: kept ? items : items.filter((item) => item !== "...") };
}

describe("at", () => {
  test("literals", () => {
    const x = x34();
    expect(x.at(1, "::2").arraySync()).toEqual([4, 6]);
    expect(x.at("...", -1).arraySync()).toEqual([3, 7, 11]);
    expect(x.at("::-1", "1:3").arraySync()).toEqual([
      [9, 10],
      [5, 6],
      [1, 2],
    ]);
    expect(x.at([0, 2], [1, 3]).arraySync()).toEqual([1, 11]);
    expect(x.at(null, 0).shape).toEqual([1, 4]);
    expect(x.at(2, 3).itemSync()).toBe(11);
    expect(x.at("5:", 0).shape).toEqual([0]);
    expect(x.at(tensor([[0], [2]], { dtype: "i64" })).shape).toEqual([2, 1, 4]);
  });

  test.each([0, 1, 2, 3])("agrees with the reference on random shapes, %i lists", (lists) => {
    const roll = dice(lists + 11);
    for (let round = 0; round < 150; round++) {
      const { shape, items } = randomIndex(roll, lists);
      const expected = index(iota(shape), items);
      const got = scope(() => {
        const y = arange(count(shape))
          .reshape(shape)
          .at(...items.map(asItem));
        return { shape: y.shape, values: y.arraySync() };
      });
      const what = `[${shape}] at ${JSON.stringify(items)}`;
      expect(got.shape, what).toEqual(expected.shape);
      expect(got.values, what).toEqual(nested(expected));
    }
  });

  test("is a view without lists and a copy with them", () => {
    const x = x34();
    internal.assign(x.at(1, "1:3"), tensor([-1, -2]));
    internal.assign(x.at([0]), tensor([[9, 9, 9, 9]]));
    expect(x.arraySync()).toEqual([
      [0, 1, 2, 3],
      [4, -1, -2, 7],
      [8, 9, 10, 11],
    ]);
  });

  test("a bool tensor gives a promise, and values with atSync", async () => {
    const x = x34();
    expect(await (await x.at(x.gt(9))).array()).toEqual([10, 11]);
    expect(x.atSync(x.gt(9)).arraySync()).toEqual([10, 11]);
    expect(x.atSync(tensor([true, false, true]), "1:3").arraySync()).toEqual([
      [1, 2],
      [9, 10],
    ]);
    expect(x.atSync("...", tensor([false, true, false, true])).arraySync()).toEqual([
      [1, 3],
      [5, 7],
      [9, 11],
    ]);
    expect(x.atSync(x.gt(99)).shape).toEqual([0]);
  });

  test("says which index of which axis is out of range", () => {
    const x = x34();
    expect(() => x.at(0, 4)).toThrow("index 4 is out of range for axis 1 of size 4");
    expect(() => x.at(-4)).toThrow("index -4 is out of range for axis 0 of size 3");
    expect(() => x.at([0, 3])).toThrow("index 3 is out of range for axis 0 of size 3");
    try {
      x.at(7);
    } catch (error) {
      expect(isOpenELMError(error, "INDEX_OUT_OF_RANGE")).toBe(true);
    }
  });

  test("an index tensor out of range fails when it is read, also as one of several", async () => {
    const x = x34();
    const bad = tensor(new Int32Array([0, 5]));
    await expect((async () => x.at(bad).array())()).rejects.toMatchObject({ code: "INDEX_OUT_OF_RANGE" });
    await expect((async () => x.at(tensor(new Int32Array([0, 1])), bad).array())()).rejects.toMatchObject({
      code: "INDEX_OUT_OF_RANGE",
    });
  });

  test.each([
    [["0:1:0"], "step must not be 0"],
    [["abc"], "is no range"],
    [[0, 0, 0], "too many"],
    [["...", "..."], 'one "..."'],
    [[1.5], "no whole number"],
    [[undefined], "an index is"],
  ])("refuses %j", (items, message) => {
    expect(() => x34().at(...(items as IndexItem[]))).toThrow(message);
  });

  test("refuses float tensors and masks of another shape", () => {
    expect(() => x34().at(tensor([0.5]) as never)).toThrow("integers or bool");
    expect(() => x34().at(tensor([true, false]))).toThrow("shape of the axes");
    expect(() => x34().at([0, 1], [0, 1, 2])).toThrow("broadcast together");
  });
});

describe("setAt", () => {
  test.each([0, 1, 2])("writes where the reference says, %i lists", (lists) => {
    const roll = dice(lists + 77);
    for (let round = 0; round < 100; round++) {
      const { shape, items } = randomIndex(roll, lists);
      const target = sources(shape, items);
      const expected = iota(shape).values.slice();
      for (const at of indices(target.shape))
        expected[offset(shape, target.source(at))] = 100 + offset(target.shape, at);
      const got = scope(() => {
        const x = arange(count(shape)).reshape(shape);
        x.setAt(items.map(asItem), arange(100, 100 + count(target.shape)).reshape(target.shape));
        return [...x.dataSync()];
      });
      expect(got, `[${shape}] at ${JSON.stringify(items)}`).toEqual(expected);
    }
  });

  test("broadcasts, casts what loses nothing, and takes numbers", () => {
    const x = zeros([2, 3], { dtype: "i64" });
    x.setAt([0], 5);
    x.setAt([1, "1:"], tensor([7], { dtype: "i32" }));
    expect(x.arraySync()).toEqual([
      [5, 5, 5],
      [0, 7, 7],
    ]);
    expect(() => x.setAt([0], tensor([0.5]))).toThrow('cast it with to("i64")');
    expect(() => x.setAt([0], 0.5)).toThrow("not a value of i64");
    expect(() => x.setAt([0], ones([2], { dtype: "i64" }))).toThrow("broadcast");
  });

  test("by a bool tensor, alone and after ranges", () => {
    const x = x34();
    x.setAt([x.gt(9)], -1);
    x.setAt(["1:", tensor([true, false, false, true])], 0);
    x.setAt([tensor([true, false, false])], tensor([1, 2, 3, 4]));
    expect(x.arraySync()).toEqual([
      [1, 2, 3, 4],
      [0, 5, 6, 0],
      [0, 9, -1, 0],
    ]);
    expect(() => x.setAt([x.gt(0)], tensor([1, 2, 3]))).toThrow("0 axes here");
  });

  test("writes through views, also by several lists into a transposed one", () => {
    const x = x34();
    x.transpose().setAt(
      [
        [0, 3],
        [1, 2],
      ],
      tensor([-1, -2]),
    );
    expect(x.arraySync()).toEqual([
      [0, 1, 2, 3],
      [-1, 5, 6, 7],
      [8, 9, 10, -2],
    ]);
  });

  test("refuses a broadcast view, whose elements share memory", () => {
    expect(() => zeros([1, 3]).broadcastTo([2, 3]).setAt([], 1)).toThrow("share memory");
  });
});
