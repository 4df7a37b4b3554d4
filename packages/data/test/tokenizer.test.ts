import { createHash } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { ConfigError, FileError, FormatError, type Progress, Tokenizer, UsageError } from "../src/index.js";
import { failure, golden, goldenJson, temporaryFolder } from "./files.js";

const strings = goldenJson<string[]>("tokenizer-strings.json");
const { tiny } = goldenJson<{
  tiny: {
    encode: number[][];
    decode_of_encode_differs: Record<string, string>;
    decode: { ids: number[]; text: string }[];
  };
}>("tokenizer.json");

/** Lists of ids, of which every third is that of a byte (3 to 258). */
function randomIds(count: number, vocabSize: number): number[][] {
  let state = 1;
  const below = (end: number): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * end);
  };
  return Array.from({ length: count }, () =>
    Array.from({ length: below(24) }, () => (below(3) === 0 ? 3 + below(256) : below(vocabSize))),
  );
}

describe("a SentencePiece model", () => {
  it("gives the reference's ids for every string, and back", async () => {
    const tokenizer = await Tokenizer.load(golden("tiny-sp.model"));
    expect([tokenizer.kind, tokenizer.vocabSize, tokenizer.bosId, tokenizer.eosId]).toEqual([
      "sentencePiece",
      1024,
      1,
      2,
    ]);
    const batch = await tokenizer.encodeBatch(strings);
    expect(batch.map((ids) => Array.from(ids))).toEqual(tiny.encode);
    for (const [i, ids] of batch.entries()) {
      expect(await tokenizer.decode(ids)).toBe(tiny.decode_of_encode_differs[i] ?? strings[i]);
    }
  });

  it("decodes broken UTF-8 as the reference, whole and streamed", async () => {
    const tokenizer = await Tokenizer.load(golden("tiny-sp.model"));
    for (const { ids, text } of tiny.decode) {
      const stream = tokenizer.stream();
      expect(await tokenizer.decode(ids)).toBe(text);
      expect(ids.map((id) => stream.push(id)).join("") + stream.end()).toBe(text);
    }
  });

  it("gives for random ids the same text as a stream as at once", async () => {
    const tokenizer = await Tokenizer.load(golden("tiny-sp.model"));
    for (const ids of randomIds(300, tokenizer.vocabSize)) {
      const stream = tokenizer.stream();
      expect(ids.map((id) => stream.push(id)).join("") + stream.end(), ids.join()).toBe(
        await tokenizer.decode(ids),
      );
    }
  });

  it("puts tokens at the ends and parses special ones only when asked", async () => {
    const tokenizer = await Tokenizer.load(golden("tiny-sp.model"));
    const plain = Array.from(await tokenizer.encode("a</s>"));
    expect(plain).not.toContain(2);
    const ends = await tokenizer.encode("a</s>", { addBos: true, addEos: true });
    expect(Array.from(ends)).toEqual([1, ...plain, 2]);
    expect(Array.from(await tokenizer.encode("a</s>", { parseSpecial: true }))).toEqual([262, 2]);
  });
});

describe("training", () => {
  it("makes a tokenizer that loses nothing and loads again, from a folder, byte for byte", async () => {
    const folder = temporaryFolder();
    const progress: Progress[] = [];
    const trained = await Tokenizer.train(strings.values(), {
      vocabSize: 400,
      additionalTokens: ["<|user|>"],
      onProgress: (report) => progress.push(report),
    });
    expect([trained.bosId, trained.eosId, trained.padId]).toEqual([0, 1, 2]);
    expect(trained.specialTokens.get("<|user|>")).toBe(3);
    expect(progress.map(({ phase }) => phase)).toEqual(["count", "merge", "merge"]);
    const path = await trained.save(folder);
    const loaded = await Tokenizer.load(folder);
    expect(loaded.sha256).toBe(createHash("sha256").update(readFileSync(path)).digest("hex"));
    expect([loaded.sha256, loaded.bosId, loaded.padId]).toEqual([trained.sha256, 0, 2]);
    const batch = await loaded.encodeBatch(strings);
    expect(await Promise.all(batch.map((ids) => loaded.decode(ids)))).toEqual(strings);
    for (const ids of randomIds(200, loaded.vocabSize)) {
      const stream = loaded.stream();
      const streamed = ids.map((id) => stream.push(id)).join("") + stream.end();
      expect(streamed, ids.join()).toBe(await loaded.decode(ids));
    }
    const copy = join(folder, "copy.json");
    await loaded.save(copy);
    expect(readFileSync(copy).equals(readFileSync(path))).toBe(true);
    expect(existsSync(`${copy}.tmp`)).toBe(false);
  });

  it("reads files as well, with the same result, and any order", async () => {
    const folder = temporaryFolder();
    const lines = strings.filter((text) => text !== "" && !/[\n\r\ufeff]/.test(text));
    writeFileSync(join(folder, "b.txt"), lines.slice(0, 90).join("\n"));
    writeFileSync(
      join(folder, "a.jsonl"),
      lines
        .slice(90)
        .map((text) => JSON.stringify({ text }))
        .join("\n"),
    );
    const options = { vocabSize: 500, splitDigits: false };
    const [files, texts] = [
      await Tokenizer.train(folder, options),
      await Tokenizer.train(lines.values(), options),
    ];
    expect(files.sha256).toBe(texts.sha256);
  });

  it("stops with the reason of its signal", async () => {
    const controller = new AbortController();
    const texts = function* () {
      yield "x".repeat(2_000_000);
      controller.abort(new Error("enough"));
      yield "y".repeat(2_000_000);
    };
    const training = Tokenizer.train(texts(), { vocabSize: 300, signal: controller.signal });
    expect(await failure(training)).toEqual([undefined, "enough"]);
  });
});

describe("errors", () => {
  it("are typed and name the file", async () => {
    const folder = temporaryFolder();
    const path = join(folder, "tokenizer.json");
    expect(await failure(Tokenizer.load(path))).toEqual(["FILE", expect.stringContaining(path)]);
    expect(await failure(Tokenizer.load(folder))).toEqual(["FILE", expect.stringContaining("neither")]);
    writeFileSync(path, '{"model": 5}');
    await expect(Tokenizer.load(folder)).rejects.toBeInstanceOf(FormatError);
    await expect(Tokenizer.load(folder)).rejects.toMatchObject({ path });
    writeFileSync(path, readFileSync(golden("tiny-sp.model")).subarray(0, 999));
    expect(await failure(Tokenizer.load(path))).toEqual(["FORMAT", expect.stringContaining("at byte")]);
    const tokenizer = await Tokenizer.load(golden("tiny-sp.model"));
    await expect(tokenizer.save(join(folder, "none", "a.model"))).rejects.toBeInstanceOf(FileError);
    await expect(tokenizer.decode([1024])).rejects.toBeInstanceOf(UsageError);
    expect(() => tokenizer.stream().push(-1)).toThrow(UsageError);
    await expect(Tokenizer.train(["x"].values(), { vocabSize: 5 })).rejects.toBeInstanceOf(ConfigError);
    const misspelt = { vocabSize: 300, minFrequnecy: 1 };
    expect(await failure(Tokenizer.train(["x"].values(), misspelt))).toEqual([
      "CONFIG",
      expect.stringContaining("minFrequnecy"),
    ]);
  });
});

it("leaves the event loop free while it encodes", async () => {
  const tokenizer = await Tokenizer.load(golden("tiny-sp.model"));
  const text = strings.join(" ").repeat(30);
  let ticks = 0;
  const timer = setInterval(() => ticks++, 1);
  await tokenizer.encodeBatch(Array.from({ length: 40 }, () => text));
  clearInterval(timer);
  expect(ticks).toBeGreaterThan(3);
});
