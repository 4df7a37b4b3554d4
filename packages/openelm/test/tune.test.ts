import { OpenELM } from "@openelm/models";
import { Device, type TunedProduct, type Tuning } from "@openelm/tensor";
import { afterEach, expect, test, vi } from "vitest";
import { main } from "../src/main.js";
import { gainOf, gainTable } from "../src/tune/report.js";
import { prefillOnce, trainOnce } from "../src/tune/work.js";
import { openelm } from "./cli.js";

afterEach(() => {
  vi.restoreAllMocks();
  process.exitCode = undefined;
});

const product = (changes: Partial<TunedProduct>): TunedProduct => ({
  key: "k",
  size: [2048, 1280, 3840],
  batches: 1,
  dtype: "bf16",
  result: "bf16",
  accumulate: false,
  calls: 1,
  measured: true,
  candidates: 8,
  first: 100,
  best: 80,
  ...changes,
});

const table = { file: "/cache/products-x-1.json", hash: "0123abcd", products: 3, problem: null };

const TUNING: Tuning = {
  products: [
    product({ calls: 2, first: 50, best: 50 }),
    product({ size: [64, 32, 16], batches: 4, result: "f32", accumulate: true, calls: 10 }),
    product({ candidates: null, first: null, best: null, measured: false }),
  ],
  table,
};

test("a device without such products is told to have nothing to tune, with code 2", async () => {
  const plain = await openelm(["tune", "--device", "cpu"]);
  expect(plain).toMatchObject({ code: 2, stdout: "" });
  expect(plain.stderr).toBe(
    "error there is nothing to tune on cpu: it has one way to compute each product\n",
  );
  const { code, events } = await openelm(["tune", "--device", "cpu", "--json"]);
  expect(code).toBe(2);
  expect(events).toEqual([
    { type: "error", code: "NOTHING_TO_TUNE", message: expect.stringContaining("nothing to tune on cpu") },
  ]);
});

test("the table has what gained most first, and each product counts as often as it was met", () => {
  expect(gainOf(TUNING.products)).toEqual({ first: 2 * 50 + 10 * 100, best: 2 * 50 + 10 * 80 });
  expect(gainTable(TUNING).split("\n")).toEqual([
    "product                 dtype  calls  ways  first µs  best µs   gain",
    "4 of 64×32×16 added  bf16>f32     10     8     100.0     80.0  20.0%",
    "2048×1280×3840           bf16      2     8      50.0     50.0   0.0%",
    "2048×1280×3840           bf16      1     ?         ?        ?",
    "all                               13          1100.0    900.0  18.2%",
  ]);
});

test("a training update and the reading of a prompt run through the model", async () => {
  const model = new OpenELM("gpt-test").initialize();
  const before = await model.norm.weight.value.data();
  await trainOnce(model, { batch: 2, length: 8, precision: "f32" });
  expect(await model.norm.weight.value.data()).not.toEqual(before);
  const forward = vi.spyOn(model, "forward");
  await prefillOnce(model.eval(), { batch: 1, length: 9 });
  expect(forward.mock.calls.map(([ids]) => ids.shape)).toEqual([[1, 9]]);
  await expect(prefillOnce(model, { batch: 1, length: 9999 })).rejects.toThrow(
    "do not fit the model's context",
  );
});

test("the command runs its work on a device that is tuned, and says what it gave and where it is", async () => {
  const works: unknown[] = [];
  vi.spyOn(Device.prototype, "tuningTable").mockReturnValue({ ...table, problem: "it was torn" });
  vi.spyOn(Device.prototype, "tune").mockImplementation(async (work, options) => {
    options?.onProgress?.(3);
    works.push([await work(), options?.again]);
    return TUNING;
  });
  const written = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"] as const) {
    vi.spyOn(process[name], "write").mockImplementation((text) => {
      written[name] += text;
      return true;
    });
  }
  const args = ["tune", "--model", "gpt-test", "--batch", "2", "--length", "8", "--device", "cpu"];
  expect(await main([...args, "--for", "train,prefill", "--precision", "f32"])).toBe(0);
  expect(works).toEqual([
    [undefined, false],
    [undefined, false],
  ]);
  expect(written.stderr).toContain("the table is begun anew: it was torn");
  expect(written.stderr).toContain("gpt-test: measuring the products of a prompt of 1 × 8 tokens in f32");
  expect(written.stdout).toContain("gpt-test: a training update of 2 × 8 tokens in f32\nproduct");
  expect(written.stdout).toContain("2 of 3 products measured in 0:0");
  expect(written.stdout).toContain("table 0123abcd of 3 products in /cache/products-x-1.json");
  written.stdout = "";
  expect(await main([...args, "--again", "--precision", "f32", "--json"])).toBe(0);
  expect(works.at(-1)).toEqual([undefined, true]);
  const [progress, result] = written.stdout
    .trim()
    .split("\n")
    .map((line): unknown => JSON.parse(line));
  expect(progress).toMatchObject({ type: "progress", done: 3, unit: "products" });
  expect(result).toMatchObject({
    ...{
      type: "tuning",
      for: "train",
      model: "gpt-test",
      device: "cpu",
      batch: 2,
      length: 8,
      first: 1100,
      best: 900,
    },
    ...{ table, products: [{ calls: 2 }, { calls: 10 }, { measured: false }] },
  });
});
