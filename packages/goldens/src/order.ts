//! Python's random numbers, and the order in which CoreNet's workers read their files.
import { PythonRandom } from "@openelm/data";
import type { Goldens } from "./files.js";
import type { Report } from "./report.js";

interface Order {
  readonly seeds: readonly {
    readonly seed: number;
    readonly getrandbits32: readonly number[];
    readonly random_hex: readonly string[];
    readonly shuffle: Readonly<Record<string, readonly number[]>>;
  }[];
  readonly workers: readonly {
    readonly files: number;
    readonly world: number;
    readonly seed: number;
    readonly epochs_of_worker: Readonly<Record<string, readonly (readonly number[])[]>>;
  }[];
}

const range = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

export async function checkOrder(goldens: Goldens, report: Report): Promise<void> {
  const { seeds, workers } = await goldens.json<Order>("order.json");
  for (const { seed, getrandbits32, random_hex, shuffle } of seeds) {
    const bits = new PythonRandom(seed);
    report.same(
      "order",
      `seed ${seed}: bits`,
      getrandbits32.map(() => bits.getRandomBits(32)),
      getrandbits32,
    );
    const numbers = new PythonRandom(seed);
    report.same(
      "order",
      `seed ${seed}: numbers`,
      random_hex.map(() => numbers.random()),
      random_hex.map(fromHex),
    );
    for (const [count, expected] of Object.entries(shuffle)) {
      report.same(
        "order",
        `seed ${seed}: shuffle of ${count}`,
        new PythonRandom(seed).shuffle(range(Number(count))),
        expected,
      );
    }
  }
  for (const { files, world, seed, epochs_of_worker } of workers) {
    for (const [worker, epochs] of Object.entries(epochs_of_worker)) {
      const got = filesOfWorker(files, world, seed, Number(worker), epochs.length);
      report.same("order", `${files} files, worker ${worker} of ${world}, seed ${seed}`, got, epochs);
    }
  }
}

/** C's hexadecimal form of a number below 1: `0x1.<13 digits>p-<exponent>`. */
function fromHex(text: string): number {
  const [, mantissa, exponent] = /^0x1\.([0-9a-f]+)p([+-]\d+)$/.exec(text)!;
  return (1 + Number.parseInt(mantissa!, 16) / 16 ** mantissa!.length) * 2 ** Number(exponent);
}

/** All shuffle the whole list and fill it up to a multiple of the workers; later epochs shuffle the worker's own. */
function filesOfWorker(
  files: number,
  world: number,
  seed: number,
  worker: number,
  epochs: number,
): number[][] {
  const random = new PythonRandom(seed);
  const all = random.shuffle(range(files));
  if (files % world > 0) all.push(...random.choices(all, world - (files % world)));
  const own = all.filter((_, i) => i % world === worker);
  return range(epochs).map((epoch) => (epoch === 0 ? own : random.shuffle(own)).slice());
}
