import {
  copyFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import {
  type Batch,
  openShards,
  PackedLoader,
  type PackedLoaderOptions,
  type PackedState,
  type Progress,
  prepare,
  type Shards,
  Tokenizer,
} from "../src/index.js";
import { failure, golden, temporaryFolder } from "./files.js";

const folder = temporaryFolder();
const inputs = join(folder, "in");
const output = join(folder, "out");
const lines = Array.from(
  { length: 400 },
  (_, i) => `Document ${i}${" of light and colours".repeat((i * 7) % 23)}`,
);
let tokenizer: Tokenizer;

beforeAll(async () => {
  mkdirSync(inputs);
  writeFileSync(join(inputs, "a.txt"), lines.slice(0, 150).join("\n"));
  writeFileSync(
    join(inputs, "b.jsonl"),
    lines
      .slice(150)
      .map((text) => JSON.stringify({ text }))
      .join("\n"),
  );
  tokenizer = await Tokenizer.load(golden("tiny-sp.model"));
  await prepare(recipe(output));
});

function recipe(to: string) {
  return { inputs, output: to, tokenizer, validationFraction: 0.1, shardTokens: 4000 };
}

function bytes(path: string): Map<string, string> {
  return new Map(readdirSync(path).map((name) => [name, readFileSync(join(path, name)).toString("base64")]));
}

describe("prepare", () => {
  it("writes every document once, and its tokenizer", async () => {
    const [train, validation] = [
      await openShards(output),
      await openShards(output, { split: "validation", verify: true }),
    ];
    expect(train.documents + validation.documents).toBe(400);
    expect(train.manifest.train.shards.length).toBeGreaterThan(2);
    const own = await train.tokenizer();
    expect(own.sha256).toBe(tokenizer.sha256);
    const found: string[] = [];
    for (const shards of [train, validation]) {
      for (let i = 0; i < shards.documents; i++) {
        const ids = await shards.document(i);
        expect([ids[0], ids.at(-1)]).toEqual([1, 2]);
        found.push(await own.decode(ids));
      }
    }
    expect(found.sort()).toEqual([...lines].sort());
  });

  it("does nothing when run twice and refuses another corpus", async () => {
    const before = bytes(output);
    const { mtimeMs } = statSync(join(output, "manifest.json"));
    await prepare(recipe(output));
    expect(statSync(join(output, "manifest.json")).mtimeMs).toBe(mtimeMs);
    expect(await failure(prepare({ ...recipe(output), addEos: false }))).toEqual([
      "CONFIG",
      expect.stringContaining("overwrite"),
    ]);
    expect(bytes(output)).toEqual(before);
  });

  it("goes on after an abort to the same files", async () => {
    const big = join(folder, "big.txt");
    writeFileSync(
      big,
      Array.from({ length: 25 }, (_, k) => lines.map((text) => `${k} ${text}`).join("\n")).join("\n"),
    );
    const make = (to: string) => ({ ...recipe(to), inputs: big, shardTokens: 60_000 });
    const [once, twice] = [join(folder, "once"), join(folder, "twice")];
    const progress: Progress[] = [];
    await prepare(make(once), { onProgress: (report) => progress.push(report) });
    expect(progress.at(-1)).toMatchObject({
      phase: "tokenize",
      unit: "bytes",
      metrics: { documents: 10_000 },
    });

    const controller = new AbortController();
    const stopped = prepare(make(twice), {
      signal: controller.signal,
      onProgress: () => controller.abort(new Error("enough")),
    });
    expect(await failure(stopped)).toEqual([undefined, "enough"]);
    expect(readdirSync(twice).filter((name) => name.endsWith(".tmp") || name === "manifest.json")).toEqual(
      [],
    );
    await prepare(make(twice));
    expect(bytes(twice)).toEqual(bytes(once));
  });

  it("rejects with typed errors and leaves nothing half-written", async () => {
    const to = join(folder, "bad");
    const bad = join(folder, "bad.jsonl");
    writeFileSync(bad, '{"text":"fine"}\n{"tex');
    expect(await failure(prepare({ ...recipe(to), inputs: bad }))).toEqual([
      "FORMAT",
      expect.stringContaining("line 2"),
    ]);
    expect(readdirSync(to).filter((name) => !name.startsWith("."))).toEqual([]);
    expect(await failure(prepare({ ...recipe(to), inputs: join(folder, "none") }))).toEqual([
      "FILE",
      expect.any(String),
    ]);
    expect(await failure(prepare({ ...recipe(join(bad, "under")) }))).toEqual(["FILE", expect.any(String)]);
    expect(await failure(prepare({ ...recipe(to), validationFraction: 2 }))).toEqual([
      "CONFIG",
      expect.any(String),
    ]);
    const empty = join(folder, "empty.txt");
    writeFileSync(empty, "\n\n");
    expect(await failure(prepare({ ...recipe(to), inputs: empty }))).toEqual([
      "CONFIG",
      expect.stringContaining("no text"),
    ]);
  });
});

describe("openShards", () => {
  function damaged(name: string, damage: (path: string) => void): string {
    const copy = join(folder, `copy-${name}`);
    mkdirSync(copy);
    for (const file of readdirSync(output)) copyFileSync(join(output, file), join(copy, file));
    damage(copy);
    return copy;
  }

  it("finds what is missing, cut off or changed", async () => {
    const flip = (path: string) => {
      const data = readFileSync(path);
      data[7]! ^= 1;
      writeFileSync(path, data);
    };
    const missing = damaged("missing", (path) => rmSync(join(path, "train-00000.bin")));
    expect(await failure(openShards(missing))).toEqual(["FILE", expect.stringContaining("train-00000.bin")]);
    const cut = damaged("cut", (path) => truncateSync(join(path, "train-00000.idx"), 80));
    expect(await failure(openShards(cut))).toEqual(["FORMAT", expect.stringContaining("80 bytes")]);
    const changed = damaged("changed", (path) => flip(join(path, "train-00001.bin")));
    await openShards(changed);
    expect(await failure(openShards(changed, { verify: true }))).toEqual([
      "FORMAT",
      expect.stringContaining("SHA-256"),
    ]);
    const json = damaged("json", (path) => writeFileSync(join(path, "manifest.json"), "{"));
    expect(await failure(openShards(json))).toEqual(["FORMAT", expect.stringContaining("manifest.json")]);
    for (const name of ["../../tokenizer.json", "/etc/passwd", ".hidden", ""]) {
      const elsewhere = damaged(`elsewhere-${name.length}`, (path) => {
        const manifest = join(path, "manifest.json");
        const text = JSON.parse(readFileSync(manifest, "utf8")) as { tokenizer: { file: string } };
        text.tokenizer.file = name;
        writeFileSync(manifest, JSON.stringify(text));
      });
      expect(await failure(openShards(elsewhere))).toEqual([
        "FORMAT",
        expect.stringContaining("is not a plain file name"),
      ]);
    }
    const other = damaged("tokenizer", (path) =>
      copyFileSync(golden("tiny-sp.model"), join(path, "tokenizer.model")),
    );
    flip(join(other, "tokenizer.model"));
    expect((await failure((await openShards(other)).tokenizer()))[0]).toBe("FORMAT");
    expect(await failure(openShards(join(folder, "nowhere")))).toEqual(["FILE", expect.any(String)]);
  });
});

describe("PackedLoader", () => {
  const options: PackedLoaderOptions = { sequenceLength: 48, batchSize: 3, seed: 9 };
  let shards: Shards;
  beforeAll(async () => {
    shards = await openShards(output);
  });

  async function take(loader: PackedLoader, count: number): Promise<Batch[]> {
    const batches: Batch[] = [];
    for (let i = 0; i < count; i++) batches.push((await loader.next())!);
    return batches;
  }

  it("fills rows and masks documents", async () => {
    let [tokens, positions] = [0, 0];
    for await (const batch of new PackedLoader(shards, { ...options, epochs: 1 })) {
      const { inputs, targets, documents, shape } = batch;
      expect([inputs.length, targets.length, documents!.length, [...shape]]).toEqual([
        144,
        144,
        144,
        [3, 48],
      ]);
      expect(targets.filter((id) => id !== -100).length).toBe(batch.tokens);
      for (let i = 0; i < 144; i++) {
        if (documents![i]! < 0) continue;
        positions++;
        const inside = i % 48 !== 47 && documents![i] === documents![i + 1];
        if (inside) expect(targets[i]).toBe(inputs[i + 1]);
        if (inputs[i] === 2) expect(targets[i]).toBe(-100);
      }
      tokens += batch.tokens;
    }
    expect([positions, tokens]).toEqual([shards.tokens, shards.tokens - shards.documents]);
  });

  it("resumes exactly, with other ranks too, though batches are made ahead", async () => {
    const one = new PackedLoader(shards, { ...options, batchSize: 1, prefetch: 7 });
    const rows = (await take(one, 300)).map(({ inputs }) => inputs);
    const first = new PackedLoader(shards, options);
    expect(
      (await take(first, 5)).flatMap(({ inputs }) => [0, 1, 2].map((r) => inputs.slice(r * 48, r * 48 + 48))),
    ).toEqual(rows.slice(0, 15));
    const state = JSON.parse(JSON.stringify(first.state)) as PackedState;
    expect(state.sequence).toBe(15);

    const ranks = [0, 1, 2].map(
      (rank) => new PackedLoader(shards, { ...options, batchSize: 2, rank, world: 3 }),
    );
    await Promise.all(ranks.map((loader) => loader.restore(state)));
    const step = await Promise.all(ranks.map((loader) => loader.next()));
    const got = step.flatMap((batch) => [0, 1].map((r) => batch!.inputs.slice(r * 48, r * 48 + 48)));
    expect(got).toEqual(rows.slice(15, 21));
    expect(ranks[2]!.state).toEqual(ranks[0]!.state);

    // The first goes back to where it was, after more batches.
    const next = await take(first, 3);
    await first.restore(state);
    expect(await take(first, 3)).toEqual(next);
  });

  it("goes on where a loop was left, and takes calls that overlap in their order", async () => {
    const reference = await take(new PackedLoader(shards, options), 6);
    const loader = new PackedLoader(shards, options);
    for await (const batch of loader) {
      expect(batch).toEqual(reference[0]);
      break;
    }
    const together = await Promise.all([loader.next(), loader.next(), loader.next()]);
    expect(together).toEqual(reference.slice(1, 4));
  });

  it("refuses a state of other data or options", async () => {
    const loader = new PackedLoader(shards, options);
    expect(() => loader.state).toThrow("ready");
    await loader.ready();
    const { state } = loader;
    const refused = (other: PackedLoaderOptions, from = state) =>
      failure(new PackedLoader(shards, other).restore(from));
    expect(await refused({ ...options, seed: 1 })).toEqual(["CONFIG", expect.stringContaining("seed")]);
    expect(await refused(options, { ...state, dataset: "x" })).toEqual([
      "CONFIG",
      expect.stringContaining("dataset"),
    ]);
    expect(await refused(options, {} as PackedState)).toEqual(["CONFIG", expect.stringContaining("state")]);
    expect(() => new PackedLoader(shards, { ...options, rank: 1 })).toThrow("rank");
  });
});
