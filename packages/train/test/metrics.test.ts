import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FileError } from "@openelm/native";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { JsonlLog, TensorBoardWriter } from "../src/index.js";
import { Pace } from "../src/loop/pace.js";
import { crc32c } from "../src/metrics/crc32c.js";
import { readEvents } from "./support/read-events.js";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "metrics-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

describe("event files", () => {
  test("CRC-32C has the values of RFC 3720", () => {
    expect(crc32c(new Uint8Array(32))).toBe(0x8a9136aa);
    expect(crc32c(new Uint8Array(32).fill(255))).toBe(0x62a8ab43);
    expect(crc32c(Uint8Array.from({ length: 32 }, (_, i) => i))).toBe(0x46dd794e);
    expect(crc32c(Buffer.from("123456789"))).toBe(0xe3069283);
  });

  test("read back by a reader that shares no code", async () => {
    const writer = await TensorBoardWriter.create(folder, 1);
    await writer.scalars(1, { "train/loss": 3.25, "eval/loss": undefined, "train/lr": 1e-3 });
    await writer.scalars(300, { "train/loss": Number.NaN, ünïcode: -0.5 });
    await writer.close();
    const [name] = await readdir(folder);
    expect(name).toMatch(/^events\.out\.tfevents\.\d{10}\.\d{3}\./);
    const events = readEvents(await readFile(join(folder, name!)));
    expect(events.map(({ wallTime: _, ...event }) => event)).toEqual([
      { fileVersion: "brain.Event:2" },
      { step: 1, sessionStatus: 1 },
      { step: 1, scalars: { "train/loss": 3.25, "train/lr": Math.fround(1e-3) } },
      { step: 300, scalars: { "train/loss": Number.NaN, ünïcode: -0.5 } },
    ]);
    for (const { wallTime } of events) expect(Math.abs(wallTime! - Date.now() / 1000)).toBeLessThan(60);
  });

  test("a flipped bit is seen by the reader", async () => {
    const writer = await TensorBoardWriter.create(folder, 1);
    await writer.close();
    const bytes = await readFile(writer.path);
    bytes[20]! ^= 1;
    expect(() => readEvents(bytes)).toThrow(/CRC/);
  });
});

describe("JSONL logs", () => {
  const open = async (step: number): Promise<JsonlLog> => JsonlLog.open(join(folder, "a", "log.jsonl"), step);
  const text = (): Promise<string> => readFile(join(folder, "a", "log.jsonl"), "utf8");

  test("grow by a line each; what is no number is null", async () => {
    const log = await open(0);
    await log.write({ step: 1, loss: 0.5 });
    await log.write({ step: 2, loss: Number.NaN });
    await log.sync();
    await log.close();
    expect(await text()).toBe('{"step":1,"loss":0.5}\n{"step":2,"loss":null}\n');
  });

  test.each([
    ["later steps", '{"step":1}\n{"step":2}\n{"step":3}\n'],
    ["a line that was cut off", '{"step":1}\n{"step":2}\n{"ste'],
    ["a broken line and all behind it", '{"step":1}\n{"step":2}\n{]\n{"step":2}\n'],
  ])("lose %s when a run goes on", async (_what, before) => {
    await (await open(0)).close();
    await writeFile(join(folder, "a", "log.jsonl"), before);
    const log = await open(2);
    await log.write({ step: 3, again: true });
    await log.close();
    expect(await text()).toBe('{"step":1}\n{"step":2}\n{"step":3,"again":true}\n');
  });

  test("that cannot be written are a typed error", async () => {
    await writeFile(join(folder, "a"), "");
    await expect(open(0)).rejects.toThrow(FileError);
  });
});

test("pace is measured over the last steps", () => {
  let now = 0;
  const pace = new Pace({ window: 2, now: () => now });
  expect(pace.rate).toEqual({ steps: 0, tokens: 0 });
  for (const [time, tokens] of [
    [0, 0],
    [10_000, 10],
    [11_000, 110],
    [12_000, 210],
  ] as const) {
    now = time;
    pace.mark(tokens / 10, tokens);
  }
  expect(pace.rate).toEqual({ steps: 10, tokens: 100 });
});
