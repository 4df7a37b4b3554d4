import { type NativePythonRandom, UsageError } from "@openelm/native";
import { requireInteger } from "./check.js";
import { binding } from "./native.js";

/**
 * Python's `random.Random`: the same numbers for the same seed.
 *
 * @example
 * ```ts
 * const files = new PythonRandom(0).shuffle(["a", "b", "c"]); // as random.Random(0).shuffle(files)
 * ```
 * @see Matsumoto and Nishimura, 1998, "Mersenne Twister", doi:10.1145/272991.272995
 */
export class PythonRandom {
  readonly #native: NativePythonRandom;

  /** @param seed - A non-negative integer below 2⁵³. */
  constructor(seed: number) {
    requireInteger("seed", seed, 0, Number.MAX_SAFE_INTEGER);
    this.#native = new (binding().NativePythonRandom)(seed);
  }

  /** A number in [0, 1). */
  random(): number {
    return this.#native.random();
  }

  /** `getrandbits(bits)`, for 0 to 53 bits. */
  getRandomBits(bits: number): number {
    requireInteger("bits", bits, 0, 53);
    return this.#native.bits(bits);
  }

  /** `randrange(n)`: an integer in [0, n). */
  randrange(n: number): number {
    requireInteger("n", n, 1, Number.MAX_SAFE_INTEGER);
    return this.#native.below(n);
  }

  /** `shuffle(items)`: in place; returns the array. */
  shuffle<T>(items: T[]): T[] {
    const before = items.slice();
    this.#native.permutation(items.length).forEach((from, to) => {
      items[to] = before[from]!;
    });
    return items;
  }

  /** `choices(population, k=count)`: with replacement. */
  choices<T>(population: readonly T[], count: number): T[] {
    requireInteger("count", count, 0);
    if (population.length === 0)
      throw new UsageError("nothing can be chosen from an empty list", "INVALID_ARGUMENT");
    return Array.from(this.#native.choices(population.length, count), (i) => population[i]!);
  }

  /** `sample(population, count)`: without replacement. */
  sample<T>(population: readonly T[], count: number): T[] {
    requireInteger("count", count, 0, population.length);
    return Array.from(this.#native.sample(population.length, count), (i) => population[i]!);
  }
}
