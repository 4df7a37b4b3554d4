import { collectGarbage } from "@openelm/testing";
import { describe, expect, test } from "vitest";
import {
  autocast,
  DisposedError,
  isOpenELMError,
  keep,
  liveTensors,
  ones,
  Scope,
  scope,
  type Tensor,
  tensor,
  withDefaults,
  zeros,
} from "../src/index.js";

/** How many tensors `body` leaves behind. */
function left(body: () => void): number {
  collectGarbage();
  const before = liveTensors();
  body();
  return liveTensors() - before;
}

describe("scope", () => {
  test("frees what is not returned, and moves the result out", () => {
    const x = ones([3]);
    let kept: Tensor | undefined;
    const inner: Tensor[] = [];
    expect(
      left(() => {
        kept = scope(() => {
          inner.push(x.reshape([3, 1]));
          return inner[0]!.reshape([1, 3]);
        });
      }),
    ).toBe(1);
    expect(kept!.arraySync()).toEqual([[1, 1, 1]]);
    expect(inner[0]!.isDisposed).toBe(true);
    expect(() => inner[0]!.dataSync()).toThrow(DisposedError);
    expect(() => inner[0]!.reshape([3])).toThrow("return it from its scope or keep(t)");
  });

  test("finds results in arrays, objects and Maps, and keep saves the rest", () => {
    let saved: Tensor | undefined;
    const result = scope(() => {
      saved = keep(ones([2]));
      zeros([1]);
      return { list: [ones([1])], map: new Map([["x", zeros([1])]]), n: 3 };
    });
    expect(saved!.arraySync()).toEqual([1, 1]);
    expect(result.list[0]!.itemSync() + result.map.get("x")!.itemSync() + result.n).toBe(4);
  });

  test("nested scopes hand on to the one around them", () => {
    let inner: Tensor | undefined;
    scope(() => {
      inner = scope(() => ones([1]));
      expect(inner.isDisposed).toBe(false);
    });
    expect(inner!.isDisposed).toBe(true);
  });

  test("frees also when the callback throws", () => {
    const made: Tensor[] = [];
    expect(() =>
      scope(() => {
        made.push(ones([1]));
        throw new Error("mine");
      }),
    ).toThrow("mine");
    expect(made[0]!.isDisposed).toBe(true);
  });

  test.each([
    ["scope", (f: () => never) => scope(f)],
    ["withDefaults", (f: () => never) => withDefaults({}, f)],
    ["autocast", (f: () => never) => autocast("bf16", f)],
  ])("%s refuses promises and iterators", (_, run) => {
    for (const body of [async () => 1, function* () {}, async function* () {}]) {
      let error: unknown;
      try {
        run(body as never);
      } catch (thrown) {
        error = thrown;
      }
      expect(isOpenELMError(error, "ASYNC_SCOPE")).toBe(true);
    }
  });

  test("a Scope runs several times between awaits and frees at its end", async () => {
    let y: Tensor;
    {
      using s = new Scope();
      const x = s.run(() => ones([2]));
      await Promise.resolve();
      y = s.run(() => x.reshape([2, 1]));
      expect(await y.array()).toEqual([[1], [1]]);
    }
    expect(y.isDisposed).toBe(true);
  });
});

describe("owners", () => {
  test("using and dispose free at once, twice is nothing", () => {
    const x = ones([4]);
    expect(
      left(() => {
        using y = x.reshape([2, 2]);
        expect(y.rank).toBe(2);
      }),
    ).toBe(0);
    x.dispose();
    x.dispose();
    expect(() => x.add(1)).toThrow(DisposedError);
  });

  test("views keep the memory of what they were made from", () => {
    const x = tensor([1, 2, 3]);
    const view = x.at("1:");
    x.dispose();
    expect(view.arraySync()).toEqual([2, 3]);
  });

  test("an owner that disposes and is collected gives up one reference, not two", () => {
    let x: Tensor | undefined = tensor([1, 2]);
    const other = x._share();
    x.dispose();
    x = undefined;
    for (let i = 0; i < 3; i++) liveTensors();
    expect(other.arraySync()).toEqual([1, 2]);
    const held = other._hold(false);
    other.dispose();
    liveTensors();
    expect(held.arraySync()).toEqual([1, 2]);
    held._unhold(false);
  });

  test("a share crosses once", async () => {
    const { Tensor } = await import("../src/index.js");
    const x = tensor([[1n, 2n]]);
    const token = x.share();
    const y = Tensor.fromShared(token);
    x.dispose();
    expect([y.dtype, y.shape, y.arraySync()]).toEqual(["i64", [1, 2], [[1, 2]]]);
    expect(() => Tensor.fromShared(token)).toThrow("used already");
  });
});

describe("failure belongs to its data", () => {
  const bad = (): Tensor => tensor([1, 2]).take(tensor(new Int32Array([5])));

  test("an index out of range rejects the reads of its own results only", async () => {
    const good = ones([2]);
    let failing: unknown;
    try {
      const y = bad();
      failing = y
        .reshape([1, 1])
        .array()
        .catch((error: unknown) => error);
      failing = await failing;
    } catch (error) {
      failing = error;
    }
    expect(isOpenELMError(failing, "INDEX_OUT_OF_RANGE"), String(failing)).toBe(true);
    expect(String(failing)).toMatch(/5.*2|take/);
    expect(await good.reshape([2, 1]).array()).toEqual([[1], [1]]);
  });

  test("two interleaved programs free nothing of each other", async () => {
    const program = async (value: number, fails: boolean): Promise<number> => {
      let sum = 0;
      for (let i = 0; i < 20; i++) {
        using s = new Scope();
        const x = s.run(() => ones([200, 200]).matmul(tensor([[value]]).broadcastTo([200, 1])));
        await Promise.resolve();
        if (fails && i === 10) await bad().data();
        const [first] = await s.run(() => x.reshape([-1])).data();
        sum += first!;
      }
      return sum;
    };
    const [one, two, three] = await Promise.allSettled([
      program(1, false),
      program(2, true),
      program(3, false),
    ]);
    expect(one).toEqual({ status: "fulfilled", value: 4000 });
    expect(three).toEqual({ status: "fulfilled", value: 12000 });
    expect(two).toMatchObject({ status: "rejected", reason: { code: "INDEX_OUT_OF_RANGE" } });
  });
});
