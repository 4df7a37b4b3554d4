import { cp, mkdtemp, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FileError, FormatError } from "@openelm/native";
import { loadSafetensors, saveSafetensors, type Tensor } from "@openelm/tensor";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { checkGoldens, Report } from "../src/index.js";

const GOLDENS = new URL("../../testing/goldens", import.meta.url).pathname;
const PARAMS = join(GOLDENS, "make", "params.json");

test("every stored reference output is met", async () => {
  const report = await checkGoldens(GOLDENS, PARAMS);
  expect(report.failures).toEqual([]);
  expect(report.checked).toBeGreaterThan(1000);
  const { worst } = report.toJSON() as { worst: Record<string, unknown> };
  const groups = ["shapes", "logits", "losses", "gradients", "accumulation", "training", "greedy", "chunks"];
  for (const group of [
    ...groups,
    "interop",
    "tokenizer",
    "order",
    "ops rms_norm",
    "bf16 bits",
    "quantized",
  ]) {
    expect(worst[group], group).toBeDefined();
  }
}, 120_000);

describe("a copy", () => {
  let dir: string;
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), "openelm-goldens-"));
    await cp(GOLDENS, dir, { recursive: true });
  });
  afterEach(() => rm(dir, { recursive: true, force: true }));

  const check = () => checkGoldens(dir, join(dir, "make", "params.json"));

  async function edit(file: string, change: (text: string) => string): Promise<void> {
    const path = join(dir, file);
    const before = await readFile(path, "utf8");
    const after = change(before);
    expect(after).not.toBe(before);
    await writeFile(path, after);
  }

  test("with a changed number, tensor, text or order fails in each place", async () => {
    const path = join(dir, "model.safetensors");
    const tensors = await loadSafetensors(path, { mmap: false });
    const name = [...tensors.keys()].find((key) => key.endsWith(".logits"))!;
    await saveSafetensors(path, new Map<string, Tensor>([...tensors, [name, tensors.get(name)!.add(1e-3)]]));
    await edit("order.json", (text) =>
      text.replace(/"shuffle": \{\s*"(\d+)": \[\s*(\d+)/, '"shuffle": {"$1": [9$2'),
    );
    await edit("model.json", (text) => text.replace(/"ce": (\d)/, '"ce": 9$1'));
    const { failures, checked } = await check();
    expect(checked).toBeGreaterThan(1000);
    expect(failures.some((failure) => failure.startsWith(`${name.split(".")[0]} logits: off by`))).toBe(true);
    expect(failures.some((failure) => /^seed \d+: shuffle of/.test(failure))).toBe(true);
    expect(failures.some((failure) => failure.includes(" ce"))).toBe(true);
  }, 120_000);

  test("made from another seed fails", async () => {
    await edit("make/params.json", (text) => text.replace(/"seed": \d+/, '"seed": 99'));
    expect((await check()).failures.length).toBeGreaterThan(100);
  }, 120_000);

  test("without a file, or with a damaged one, is a typed error that names it", async () => {
    await expect(checkGoldens(dir, join(dir, "none.json"))).rejects.toThrow(FileError);
    await writeFile(join(dir, "params.json"), "{}");
    await expect(checkGoldens(dir, join(dir, "params.json"))).rejects.toThrow(
      /params\.json has no whole number "seed"/,
    );
    await truncate(join(dir, "model.safetensors"), 1000);
    await expect(check()).rejects.toThrow(FormatError);
    await rm(join(dir, "model.safetensors"));
    await expect(check()).rejects.toThrow(FileError);
    await writeFile(join(dir, "model.json"), '{"configs": {"base": {}}}');
    await cp(join(GOLDENS, "model.safetensors"), join(dir, "model.safetensors"));
    await expect(check()).rejects.toThrow(/checkModels cannot use the files/);
    await writeFile(join(dir, "model.json"), '{"configs": ');
    await expect(check()).rejects.toThrow(/model\.json is not JSON/);
  });
});

describe("Report", () => {
  test("fails what is off, of another length or no number", () => {
    const report = new Report();
    report.close("g", "right", [1, 2], [1, 2.00001], 1e-4);
    report.close("g", "off", [1, 2], [1, 2.1], 1e-4);
    report.close("g", "short", [1], [1, 2], 1e-4);
    report.close("g", "long", [1, 2, 3], [1, 2], 1e-4);
    report.close("g", "nan", [Number.NaN], [1], 1e-4);
    report.same("g", "ids", [1, 2], [1, 3]);
    report.same("g", "same", [1, 2], [1, 2]);
    expect(report.checked).toBe(7);
    expect(report.failures.map((failure) => failure.split(":")[0])).toEqual([
      "off",
      "short",
      "long",
      "nan",
      "ids",
    ]);
  });

  test("measures gradients by their own largest value", () => {
    const report = new Report();
    report.close("g", "small", [1.1e-6], [1e-6], 1e-3);
    report.close("g", "relative", [1.1e-6], [1e-6], 1e-3, true);
    expect(report.failures).toHaveLength(1);
  });
});
