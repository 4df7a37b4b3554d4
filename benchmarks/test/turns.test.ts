import { liveTensors, ones } from "@openelm/tensor";
import { describe, expect, test } from "vitest";
import { type Contender, median, ours, takeTurns } from "../lib/turns.js";

/** A contender whose calls take `seconds(round)` each, and who notes that it was asked. */
function paced(name: string, log: string[], seconds: (turn: number) => number): Contender {
  let turn = 0;
  return (calls) => {
    log.push(name);
    return calls * seconds(turn++);
  };
}

describe("takeTurns", () => {
  test("contenders alternate, and the median is of the counted rounds", async () => {
    const log: string[] = [];
    const slowOnce = (turn: number): number => (turn === 3 ? 100 : 0.5);
    const result = await takeTurns(
      { a: paced("a", log, slowOnce), b: paced("b", log, () => 2) },
      { rounds: 3, seconds: 1 },
    );
    expect(result).toEqual({ a: 0.5, b: 2 });
    expect(log).toEqual(["a", "b", "a", "b", "a", "b", "a", "b"]);
  });

  test("a contender that throws stops taking part, and the one who asked is told", async () => {
    const log: string[] = [];
    const breaks = (turn: number): number => {
      if (turn === 2) throw new Error("broken");
      return 1;
    };
    const contenders = { a: paced("a", log, breaks), b: paced("b", log, () => 1) };
    const told: string[] = [];
    const fails = (name: string, error: unknown): void => void told.push(`${name} ${error}`);
    expect(await takeTurns(contenders, { rounds: 3, seconds: 1, fails })).toEqual({ b: 1 });
    expect(told).toEqual(["a Error: broken"]);
    expect(log).toEqual(["a", "b", "a", "b", "a", "b", "b"]);
    await expect(takeTurns({ c: paced("c", log, breaks) }, { rounds: 3, seconds: 1 })).rejects.toThrow(
      "broken",
    );
  });

  test("fast calls are repeated until a turn lasts long enough", async () => {
    const counts: number[] = [];
    const fast: Contender = (calls) => {
      counts.push(calls);
      return calls * 1e-6;
    };
    expect((await takeTurns({ fast }, { rounds: 1, seconds: 0.1 })).fast).toBeCloseTo(1e-6, 12);
    expect(counts.at(-1)).toBe(100_000);
  });
});

test("median is the middle of the sorted values", () => {
  expect(median([10, 9, 100])).toBe(10);
  expect(median([4, 1, 3, 2])).toBe(2);
  expect(() => median([])).toThrow(RangeError);
});

test("our turns compute every call and leave no tensor", () => {
  const x = ones([4]);
  let calls = 0;
  const before = liveTensors();
  const seconds = ours(() => {
    calls++;
    return x.add(x);
  })(10);
  expect(calls).toBe(10);
  expect(seconds).toBeGreaterThan(0);
  expect(liveTensors()).toBe(before);
});
