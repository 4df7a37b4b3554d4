import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { expect, it } from "vitest";
import { type Document, findFiles, type Progress, readDocuments } from "../src/index.js";
import { failure, temporaryFolder } from "./files.js";

async function texts(documents: AsyncIterable<Document>): Promise<string[]> {
  const all: string[] = [];
  for await (const { text } of documents) all.push(text);
  return all;
}

function corpus(): string {
  const folder = temporaryFolder();
  mkdirSync(join(folder, "data", "deep"), { recursive: true });
  writeFileSync(join(folder, "data", "train-00001-of-00002.txt"), "c\n\nd\n");
  writeFileSync(
    join(folder, "data", "train-00000-of-00002.jsonl.gz"),
    gzipSync('{"text":"a"}\n{"text":"b"}\n'),
  );
  writeFileSync(join(folder, "data", "deep", "validation.txt"), "e");
  writeFileSync(join(folder, "data", "README.rst"), "no");
  return folder;
}

it("reads files, folders and globs in a fixed order, each file once", async () => {
  const folder = corpus();
  expect(await texts(readDocuments(folder))).toEqual(["e", "a", "b", "c", "d"]);
  expect(await texts(readDocuments([`${folder}/data/*.txt`, folder]))).toEqual(["c", "d", "e", "a", "b"]);
  expect(await texts(readDocuments(folder, { split: "train" }))).toEqual(["a", "b", "c", "d"]);
  expect(await texts(readDocuments(folder, { split: "validation" }))).toEqual(["e"]);
  const whole = await texts(readDocuments(`${folder}/data/train-00001-of-00002.txt`, { textUnit: "file" }));
  expect(whole).toEqual(["c\n\nd\n"]);
});

it("says where each document stands and how far it is", async () => {
  const folder = corpus();
  const progress: Progress[] = [];
  const documents: Document[] = [];
  for await (const document of readDocuments(folder, { onProgress: (report) => progress.push(report) })) {
    documents.push(document);
  }
  expect(documents[2]).toEqual({
    text: "b",
    path: join(folder, "data", "train-00000-of-00002.jsonl.gz"),
    index: 1,
  });
  expect(progress.at(-1)?.done).toBe(progress.at(-1)?.total);
});

it("gives typed errors for what cannot be read", async () => {
  const folder = corpus();
  expect(await failure(texts(readDocuments(join(folder, "none.txt"))))).toEqual(["FILE", expect.any(String)]);
  expect(await failure(findFiles(`${folder}/*.parquet`))).toEqual(["CONFIG", expect.any(String)]);
  expect(await failure(findFiles(folder, "test"))).toEqual(["CONFIG", expect.stringContaining("test")]);
  const bad = join(folder, "bad.jsonl");
  writeFileSync(bad, '{"text":"fine"}\n{"text":1}\n');
  const seen: string[] = [];
  const reading = (async () => {
    for await (const { text } of readDocuments(bad)) seen.push(text);
  })();
  expect(await failure(reading)).toEqual(["FORMAT", expect.stringContaining(`${bad}: line 2`)]);
  expect(seen).toEqual(["fine"]);
});

it("stops at the signal, and when the loop is left", async () => {
  const folder = temporaryFolder();
  const path = join(folder, "long.txt");
  writeFileSync(path, "line\n".repeat(20_000));
  const controller = new AbortController();
  const seen: number[] = [];
  const reading = (async () => {
    for await (const { index } of readDocuments(path, { signal: controller.signal })) {
      seen.push(index);
      if (index === 10) controller.abort(new Error("enough"));
    }
  })();
  expect(await failure(reading)).toEqual([undefined, "enough"]);
  expect(seen.length).toBeLessThan(2_000);
  for await (const { index } of readDocuments(path)) if (index === 5) break;
});
