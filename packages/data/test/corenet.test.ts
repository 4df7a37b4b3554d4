import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import {
  CorenetLoader,
  type CorenetLoaderOptions,
  type CorenetState,
  corenetFiles,
  PythonRandom,
  Tokenizer,
} from "../src/index.js";
import { failure, golden, goldenJson, temporaryFolder } from "./files.js";

interface Order {
  seeds: {
    seed: number;
    getrandbits32: number[];
    random_hex: string[];
    shuffle: Record<string, number[]>;
    choices_97_k20: number[];
    sample_from_200: number[][];
    randrange: number[];
  }[];
  workers: { files: number; world: number; seed: number; epochs_of_worker: Record<string, number[][]> }[];
}

const order = goldenJson<Order>("order.json");
const range = (n: number) => Array.from({ length: n }, (_, i) => i);

describe("PythonRandom", () => {
  it("draws Python's numbers", () => {
    for (const golden of order.seeds) {
      const random = () => new PythonRandom(golden.seed);
      let one = random();
      expect(golden.getrandbits32.map(() => one.getRandomBits(32))).toEqual(golden.getrandbits32);
      one = random();
      for (const hex of golden.random_hex) {
        const [, mantissa, exponent] = /^0x1\.([0-9a-f]{13})p-(\d+)$/.exec(hex)!;
        expect(one.random()).toBe((1 + Number.parseInt(mantissa!, 16) / 2 ** 52) / 2 ** Number(exponent));
      }
      for (const [n, shuffled] of Object.entries(golden.shuffle)) {
        expect(random().shuffle(range(Number(n)))).toEqual(shuffled);
      }
      expect(random().choices(range(97), 20)).toEqual(golden.choices_97_k20);
      one = random();
      expect([5, 6, 25, 26, 11, 10].map((k) => one.sample(range(200), k))).toEqual(golden.sample_from_200);
      one = random();
      expect([1, 2, 3, 7, 100, 2 ** 31, 2 ** 32, 2 ** 40 + 1].map((n) => one.randrange(n))).toEqual(
        golden.randrange,
      );
    }
    expect(() => new PythonRandom(-1)).toThrow("seed");
    expect(() => new PythonRandom(0).choices([], 1)).toThrow("empty");
  });

  it("gives CoreNet's file lists", () => {
    for (const { files, world, seed, epochs_of_worker } of order.workers) {
      for (const [worker, epochs] of Object.entries(epochs_of_worker)) {
        const random = new PythonRandom(seed);
        const all = random.shuffle(range(files));
        if (files % world > 0) all.push(...random.choices(all, world - (files % world)));
        const own = all.filter((_, i) => i % world === Number(worker));
        for (const [e, expected] of epochs.entries()) {
          expect(e === 0 ? own : random.shuffle(own)).toEqual(expected);
        }
      }
    }
  });
});

describe("CorenetLoader", () => {
  const folder = temporaryFolder();
  let options: CorenetLoaderOptions;
  beforeAll(async () => {
    for (const f of range(4)) {
      const body = (d: number) => `file ${f}  document ${d} ${"of light ".repeat(d * 9)}`;
      const text = range(6)
        .map((d) => JSON.stringify({ body: body(d) }))
        .join("\n");
      writeFileSync(join(folder, `part-${String(f).padStart(3, "0")}.jsonl`), text);
    }
    options = {
      data: [{ fileName: join(folder, "part-{file_id:03d}.jsonl"), textKey: "body", fileIdRange: [0, 4] }],
      tokenizer: await Tokenizer.load(golden("tiny-sp.model")),
      batchSize: 2,
      sequenceLength: 32,
      minTokensPerText: 14,
      documentSplitSize: 20,
      shuffleData: true,
      workers: 2,
    };
  });

  it("gives the pieces of its files in order, cut, padded and shifted", async () => {
    const { tokenizer } = options;
    // Worker 0 of 2 has every second file of the shuffled list.
    const files = new PythonRandom(0).shuffle(range(4)).filter((_, i) => i % 2 === 0);
    const rows: number[][] = [];
    for (const f of files) {
      for (const d of range(6)) {
        const words = `file ${f}  document ${d} ${"of light ".repeat(d * 9)}`.split(" ");
        for (let start = 0; start < words.length; start += 20) {
          const text = words.slice(start, start + 20).join(" ");
          const ids = Array.from(await tokenizer.encode(text, { addBos: true, addEos: true }));
          if (ids.length < 14) continue;
          rows.push([...ids, ...Array<number>(33).fill(1024)].slice(0, 33));
        }
      }
    }
    const loader = new CorenetLoader(options);
    for (let i = 0; i + 1 < rows.length; i += 2) {
      const batch = (await loader.next())!;
      const expected = [rows[i]!, rows[i + 1]!];
      expect(Array.from(batch.inputs)).toEqual(expected.flatMap((row) => row.slice(0, 32)));
      expect(Array.from(batch.targets)).toEqual(expected.flatMap((row) => row.slice(1)));
      expect(batch.tokens).toBe(expected.flatMap((row) => row.slice(1)).filter((id) => id !== 1024).length);
      expect([batch.documents, [...batch.shape]]).toEqual([undefined, [2, 32]]);
      await loader.next(); // worker 1
    }
    expect(rows.some((row) => row[32] !== 1024 && row[32] !== 2)).toBe(true);
  });

  it("resumes exactly and only as the same rank", async () => {
    const loader = new CorenetLoader(options);
    for (let i = 0; i < 9; i++) await loader.next();
    const state = JSON.parse(JSON.stringify(loader.state)) as CorenetState;
    const rest = [await loader.next(), await loader.next(), await loader.next()];
    const again = new CorenetLoader(options);
    await again.restore(state);
    expect([await again.next(), await again.next(), await again.next()]).toEqual(rest);
    // Read as JSON, but too deep to be written.
    const deep = JSON.parse(`${"[".repeat(20_000)}${"]".repeat(20_000)}`) as CorenetState;
    expect(await failure(again.restore(deep))).toEqual([
      "USAGE",
      expect.stringContaining("no state of a loader"),
    ]);
    const other = new CorenetLoader({ ...options, world: 2, rank: 1 });
    expect(await failure(other.restore(state))).toEqual(["CONFIG", expect.stringContaining("rank")]);
  });

  it("formats file names as Python does and says what is wrong", async () => {
    const names = (fileName: string) =>
      corenetFiles({ fileName, textKey: "t", fileIdRange: [7, 9] }).map(({ path }) => path);
    expect(names("/a/{file_id}.x")).toEqual(["/a/7.x", "/a/8.x"]);
    expect(names("/a/{{{file_id:03d}}}")).toEqual(["/a/{007}", "/a/{008}"]);
    expect(() => names("/a/{id}")).toThrow("file_id");
    const missing = { ...options, data: [{ ...options.data[0]!, fileIdRange: [0, 9] as const }] };
    const loader = new CorenetLoader(missing);
    const drain = (async () => {
      for await (const batch of loader) expect(batch.tokens).toBeGreaterThan(0);
    })();
    expect(await failure(drain)).toEqual(["FILE", expect.stringContaining("part-00")]);
    expect(await failure(new CorenetLoader({ ...options, minTokensPerText: 9999 }).next())).toEqual([
      "CONFIG",
      expect.any(String),
    ]);
  });
});
