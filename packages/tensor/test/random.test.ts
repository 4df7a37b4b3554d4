import { describe, expect, test } from "vitest";
import {
  bernoulli,
  defaultGenerator,
  dropout,
  Generator,
  multinomial,
  normal,
  ones,
  permutation,
  randint,
  seed,
  tensor,
  truncatedNormal,
  uniform,
} from "../src/index.js";

const moments = (values: ArrayLike<number>): [mean: number, variance: number] => {
  const list = Array.from(values);
  const mean = list.reduce((a, b) => a + b, 0) / list.length;
  return [mean, list.reduce((a, b) => a + (b - mean) ** 2, 0) / list.length];
};

describe("Generator", () => {
  test("the same seed gives the same values, another seed or place others", () => {
    const draw = (value: number): Float32Array =>
      normal([50], { generator: new Generator(value) }).dataSync();
    expect(draw(1)).toEqual(draw(1));
    expect(draw(1)).not.toEqual(draw(2));
    const generator = new Generator(1);
    expect(normal([50], { generator }).dataSync()).not.toEqual(normal([50], { generator }).dataSync());
  });

  test("a call takes a count for four elements", () => {
    const generator = new Generator(3);
    uniform([5], { generator });
    expect(generator.state).toEqual({ seed: 3, counter: 2 });
    permutation(9, { generator });
    expect(generator.state.counter).toBe(5);
    multinomial(ones([2, 6]), 2, { generator });
    expect(generator.state.counter).toBe(8);
    multinomial(ones([2, 6]), 20, { generator, replacement: true });
    expect(generator.state.counter).toBe(18);
    uniform([0], { generator });
    expect(generator.state.counter).toBe(18);
  });

  test("one call draws what two calls of whole blocks do", () => {
    const [whole, parts] = [new Generator(5), new Generator(5)];
    const halves = [uniform([8], { generator: parts }), uniform([8], { generator: parts })];
    expect([...uniform([16], { generator: whole }).dataSync()]).toEqual(
      halves.flatMap((x) => [...x.dataSync()]),
    );
  });

  test("goes through JSON", () => {
    const generator = new Generator(9);
    normal([3], { generator });
    const copy = Generator.fromState(JSON.parse(JSON.stringify(generator)));
    expect(normal([3], { generator: copy }).dataSync()).toEqual(normal([3], { generator }).dataSync());
    expect(() => new Generator(-1)).toThrow("whole numbers");
    expect(() => new Generator(1.5)).toThrow("whole numbers");
    expect(() => Generator.fromState({ seed: 1 } as never)).toThrow("whole numbers");
  });

  test("fork depends on seed and name alone", () => {
    const generator = new Generator(1);
    const first = generator.fork("a").state;
    uniform([100], { generator });
    expect(generator.fork("a").state).toEqual(first);
    expect(generator.fork("b").state.seed).not.toBe(first.seed);
    expect(new Generator(2).fork("a").state.seed).not.toBe(first.seed);
    expect(first.counter).toBe(0);
  });

  test("seed starts the default one anew", () => {
    seed(11);
    const first = uniform([4]).dataSync();
    expect(defaultGenerator().state).toEqual({ seed: 11, counter: 1 });
    seed(11);
    expect(uniform([4]).dataSync()).toEqual(first);
  });
});

describe("distributions", () => {
  const generator = new Generator(17);
  const n = 40_000;

  test("uniform stays inside its range and has its moments", () => {
    const values = uniform([n], { low: -2, high: 4, generator }).dataSync();
    expect(values.every((v) => v >= -2 && v < 4)).toBe(true);
    const [mean, variance] = moments(values);
    expect(Math.abs(mean - 1)).toBeLessThan(5 * Math.sqrt(3 / n));
    expect(variance).toBeCloseTo(3, 1);
  });

  test("normal has mean and deviation, truncated also bounds", () => {
    const [mean, variance] = moments(normal([n], { mean: 3, std: 2, generator }).dataSync());
    expect(Math.abs(mean - 3)).toBeLessThan((5 * 2) / Math.sqrt(n));
    expect(Math.abs(variance - 4)).toBeLessThan(0.2);
    const cut = truncatedNormal([n], { mean: 1, std: 2, low: -1, high: 0.5, generator }).dataSync();
    expect(cut.every((v) => v >= -1 && v <= 2)).toBe(true);
  });

  test("bernoulli, randint and permutation", () => {
    const [share] = moments(bernoulli([n], { p: 0.3, generator }).dataSync());
    expect(Math.abs(share - 0.3)).toBeLessThan(5 * Math.sqrt(0.21 / n));
    expect([...new Set(randint([n], -2, 3, { generator }).dataSync())].sort((a, b) => a - b)).toEqual([
      -2, -1, 0, 1, 2,
    ]);
    const order = permutation(1000, { generator }).dataSync();
    expect([...order].sort((a, b) => a - b)).toEqual(Array.from({ length: 1000 }, (_, i) => i));
    expect(order.some((v, i) => v !== i)).toBe(true);
  });

  test("multinomial draws by weight, and without replacement each once", () => {
    const drawn = multinomial(tensor([1, 0, 3]), 20_000, { replacement: true, generator }).dataSync();
    const share = (k: number): number => drawn.filter((v) => v === k).length / drawn.length;
    expect(share(1)).toBe(0);
    expect(Math.abs(share(2) - 0.75)).toBeLessThan(0.02);
    expect([...multinomial(ones([7]), 7, { generator }).dataSync()].sort()).toEqual([0, 1, 2, 3, 4, 5, 6]);
    expect(() => multinomial(ones([3]), 4, { generator })).toThrow("count");
  });

  test("dropout keeps the mean and the untouched elements", () => {
    const values = dropout(ones([n]), { p: 0.25, generator }).dataSync();
    expect([...new Set(values)].sort()).toEqual([0, Math.fround(4 / 3)]);
    expect(Math.abs(moments(values)[0] - 1)).toBeLessThan(0.02);
    expect(dropout(tensor([1, 2]), { p: 0 }).arraySync()).toEqual([1, 2]);
    expect(() => dropout(ones([1]), { p: 2 })).toThrow("p must be of [0, 1]");
  });

  test("the device does not matter for what is reserved", () => {
    const g = new Generator(1);
    expect(uniform([1000, 1000], { device: "meta", dtype: "bf16", generator: g }).shape).toEqual([
      1000, 1000,
    ]);
    expect(g.state.counter).toBe(250_000);
  });
});
