import { copyFileSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { FileError, UsageError } from "@openelm/tensor";
import { describe, expect, test } from "vitest";
import { type ConvertOptions, convertModel, openModel } from "../../src/index.js";
import { golden, savedModel, temporary } from "./support.js";

const PIECES = golden("tiny-sp.model");

describe("an option that the conversion has no use for is refused", () => {
  test.each<[ConvertOptions, RegExp]>([
    [{ to: "gguf", quantize: { bits: 4, group: 32 } }, /are for the form mlx, not for gguf/],
    [{ to: "hf", quantize: { bits: 4, group: 32 } }, /are for the form mlx, not for hf/],
    [{ to: "mlx", quantize: { bits: 4, group: 48 } }, /groups of 32, 64 or 128, got 4 bits and groups of 48/],
    [{ to: "mlx", encoding: "q8_0" }, /an encoding is for the form gguf, not for mlx/],
    [{ to: "gguf", encoding: "q8_0", dtype: "bf16" }, /q8_0 or bf16, not both/],
    [{ to: "hf", state: "ema" }, /no checkpoint of CoreNet, which alone has a moving average/],
    [{ to: "hf", config: "OpenELM-270M" }, /has a configuration of its own/],
    [
      { to: "gguf", tokenizer: "vocab.txt" },
      /\.model file of SentencePiece or a tokenizer\.json, not vocab\.txt/,
    ],
  ])("%j", async (options, message) => {
    const [model, out] = [await savedModel(), join(temporary(), "out")];
    await expect(convertModel(model, out, options)).rejects.toThrow(UsageError);
    await expect(convertModel(model, out, options)).rejects.toThrow(message);
    expect(existsSync(out)).toBe(false);
  });

  test("and so is a form that models have not", async () => {
    const options = { to: "peft" } as unknown as ConvertOptions;
    await expect(convertModel(await savedModel(), join(temporary(), "out"), options)).rejects.toThrow(
      /to must be hf, corenet, mlx, gguf, got peft/,
    );
  });

  test("of another source too: a GGUF file has no moving average", async () => {
    const gguf = join(temporary(), "m.gguf");
    await convertModel(await savedModel(), gguf, { to: "gguf", encoding: "f32", dtype: "f32" });
    await expect(openModel(gguf, { state: "ema" })).rejects.toThrow(/no checkpoint of CoreNet/);
  });
});

describe("a tokenizer that is named", () => {
  test("and not there is a FileError of its own", async () => {
    const options = { to: "hf", tokenizer: join(temporary(), "none.model") } as const;
    const error = await convertModel(await savedModel(), join(temporary(), "out"), options).catch((e) => e);
    expect(error).toBeInstanceOf(FileError);
    expect(String(error)).toMatch(/none\.model cannot be read/);
  });

  test("gets the name under which programs look for it", async () => {
    const [named, out] = [join(temporary(), "llama-2.model"), join(temporary(), "out")];
    copyFileSync(PIECES, named);
    await convertModel(await savedModel(), out, { to: "hf", tokenizer: named, vocabulary: 1024 });
    expect(readFileSync(join(out, "tokenizer.model")).equals(readFileSync(PIECES))).toBe(true);
  });

  test("takes the place of the one in a GGUF file, also in a folder", async () => {
    const [gguf, out, named] = [
      join(temporary(), "m.gguf"),
      join(temporary(), "out"),
      join(temporary(), "x.model"),
    ];
    const model = await savedModel({ vocabSize: 1024 });
    await convertModel(model, gguf, { to: "gguf", tokenizer: PIECES });
    copyFileSync(PIECES, named);
    await convertModel(gguf, out, { to: "hf", tokenizer: named });
    expect(readFileSync(join(out, "tokenizer.model")).equals(readFileSync(PIECES))).toBe(true);
  });
});

test("tokens that fill a GGUF file up to the model's size are none of its tokenizer", async () => {
  const [large, small] = [join(temporary(), "large.gguf"), join(temporary(), "small.gguf")];
  const model = await savedModel({ vocabSize: 1100 });
  await convertModel(model, large, { to: "gguf", tokenizer: PIECES });
  await convertModel(large, small, { to: "gguf", vocabulary: 1024 });
  const [a, b] = [await openModel(large), await openModel(small)];
  await Promise.all([a.close(), b.close()]);
  expect([a.config.vocabSize, b.config.vocabSize]).toEqual([1100, 1024]);
  expect(a.vocabulary).toEqual(b.vocabulary);
  expect(a.vocabulary?.tokens).toHaveLength(1024);
});

test("a file is made together with the folders that it lies in, as a folder is", async () => {
  const path = join(temporary(), "new", "folders", "m.gguf");
  await convertModel(await savedModel(), path, { to: "gguf" });
  expect(existsSync(path)).toBe(true);
});

test("a file of no known form says which forms there are", async () => {
  const path = join(temporary(), "m.gguf");
  writeFileSync(path, "");
  await expect(openModel(path)).rejects.toThrow(/not an archive of torch\.save, and no GGUF file/);
});
