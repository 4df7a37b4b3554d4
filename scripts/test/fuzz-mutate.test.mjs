//! Samples are taken apart and put together again by what the changes are made with.
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { gguf, safetensors } from "../fuzz/formats/models.mjs";
import { smallPieces } from "../fuzz/formats/pieces.mjs";
import { ggufBytes, ggufParts } from "../fuzz/mutate/gguf.mjs";
import { mutateParquet } from "../fuzz/mutate/parquet.mjs";
import { bytesOf, fieldsOf } from "../fuzz/mutate/protobuf.mjs";
import { mutateSafetensors } from "../fuzz/mutate/safetensors.mjs";
import { structBytes, structIn } from "../fuzz/mutate/thrift.mjs";
import { Random } from "../fuzz/random.mjs";

let folder;
beforeAll(() => {
  folder = mkdtempSync(path.join(os.tmpdir(), "openelm-fuzz-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const SAMPLES = fileURLToPath(new URL("../fuzz/samples", import.meta.url));

describe("what is taken apart is put together to the same bytes", () => {
  test("GGUF files", async () => {
    for (const files of await gguf.samples(mkdtempSync(path.join(folder, "gguf-")))) {
      const bytes = files.get("model.gguf");
      expect(Buffer.from(ggufBytes(ggufParts(bytes))).equals(bytes)).toBe(true);
    }
  });

  test.each(readdirSync(SAMPLES).filter((name) => name.endsWith(".parquet")))(
    "the metadata of %s",
    (name) => {
      const bytes = new Uint8Array(readFileSync(path.join(SAMPLES, name)));
      const start = bytes.length - 8 - Buffer.from(bytes).readUInt32LE(bytes.length - 8);
      const { fields, end } = structIn(bytes, start);
      expect(end).toBe(bytes.length - 8);
      expect(structBytes(fields)).toEqual(bytes.slice(start, end));
    },
  );

  test("protocol buffers", () => {
    const bytes = smallPieces();
    expect(bytesOf(fieldsOf(bytes, new Set([1, 2, 3])))).toEqual(bytes);
  });
});

describe("changes come from the seed alone, and leave what they change", () => {
  test.each([
    ["safetensors", mutateSafetensors, () => safetensors.samples(mkdtempSync(path.join(folder, "st-")))],
    [
      "Parquet",
      mutateParquet,
      async () => [new Map([["a", new Uint8Array(readFileSync(path.join(SAMPLES, "snappy.parquet")))]])],
    ],
  ])("%s", async (_, mutate, samples) => {
    const [sample] = [...(await samples())[0].values()];
    const before = sample.slice();
    const made = (seed) =>
      Array.from({ length: 50 }, (_, i) => Buffer.from(mutate(new Random(seed, i), sample)).toString("hex"));
    expect(made(1)).toEqual(made(1));
    expect(new Set([...made(1), ...made(2)]).size).toBeGreaterThan(80);
    expect(sample).toEqual(before);
  });
});
