import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import {
  arange,
  DTYPES,
  type DType,
  device,
  FormatError,
  isOpenELMError,
  loadSafetensors,
  saveSafetensors,
  scope,
  type Tensor,
  tensor,
  zeros,
} from "../src/index.js";
import { dice } from "./reference.js";

const folder = mkdtempSync(join(tmpdir(), "openelm-safetensors-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const path = (name: string): string => join(folder, name);

/** A file of the given header text and data. */
function raw(
  name: string,
  header: string | Buffer,
  data: Uint8Array = new Uint8Array(0),
  length?: bigint,
): string {
  const json = Buffer.from(header);
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(length ?? BigInt(json.length));
  writeFileSync(path(name), Buffer.concat([size, json, data]));
  return path(name);
}

/** A file too short for a header length. */
function short(name: string): string {
  writeFileSync(path(name), "abc");
  return path(name);
}

const all = (): Record<string, Tensor> =>
  Object.fromEntries(DTYPES.map((dtype) => [`x.${dtype}`, arange(6).reshape([2, 3]).to(dtype)]));

test("a safetensors file with axes beyond what counts exactly, beside one of 0, is refused", async () => {
  const header = (size: string): string =>
    `{"x":{"dtype":"F32","shape":[0,${size}],"data_offsets":[0,0]}}      `;
  for (const size of ["18446744073709551615", "9007199254740993"]) {
    const file = raw(`axes-${size}`, header(size));
    await expect(loadSafetensors(file)).rejects.toThrow(FormatError);
    await expect(loadSafetensors(file)).rejects.toThrow(/tensor "x" has the shape \[0, \d+\]/);
  }
  using loaded = await loadSafetensors(raw("axes-exact", header("9007199254740991")));
  expect(loaded.get("x")?.size).toBe(0);
});

describe("safetensors", () => {
  test.each([true, false])("values come back in every dtype, mmap %s", async (mmap) => {
    const file = path(`all-${mmap}.safetensors`);
    await saveSafetensors(
      file,
      { ...all(), scalar: tensor(7), empty: zeros([0, 4]) },
      { metadata: { format: "pt" } },
    );
    const loaded = await loadSafetensors(file, { mmap });
    expect(loaded.metadata).toEqual({ format: "pt" });
    for (const [name, x] of Object.entries(all())) {
      expect(loaded.get(name)?.dtype).toBe(x.dtype);
      expect(loaded.get(name)?.arraySync(), name).toEqual(x.arraySync());
    }
    expect(loaded.get("scalar")?.itemSync()).toBe(7);
    expect(loaded.get("empty")?.shape).toEqual([0, 4]);
    loaded.dispose();
    expect(loaded.get("scalar")?.isDisposed).toBe(true);
  });

  test("a file in the format's order is written again byte for byte", async () => {
    const tensors = { ...all(), ü: tensor([1]), 'quote"\n': tensor([2]), B: tensor([3]), a: tensor([4n]) };
    await saveSafetensors(path("one"), tensors, { metadata: { z: "1", a: "ünï\u0001" } });
    const loaded = await loadSafetensors(path("one"));
    await saveSafetensors(path("two"), loaded, { metadata: loaded.metadata });
    expect(readFileSync(path("two")).equals(readFileSync(path("one")))).toBe(true);
    const dtypes = [...loaded.values()].map((x) => x.dtype);
    const wide = ["i64", "f64", "f32", "u32", "i32", "bf16", "f16", "i8", "u8", "bool"];
    expect(dtypes.map((dtype) => wide.indexOf(dtype))).toEqual(
      dtypes.map((dtype) => wide.indexOf(dtype)).sort((a, b) => a - b),
    );
    expect([...loaded.keys()].filter((name) => !name.startsWith("x."))).toEqual(["a", "B", 'quote"\n', "ü"]);
  });

  test("the layout is the documented one", async () => {
    await saveSafetensors(path("layout"), { x: tensor([1, 2]) });
    const bytes = readFileSync(path("layout"));
    const header = '{"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}';
    expect(Number(bytes.readBigUInt64LE()) % 8).toBe(0);
    expect(bytes.subarray(8, -8).toString().trimEnd()).toBe(header);
    expect(
      new Float32Array(
        bytes.buffer.slice(bytes.byteOffset + bytes.length - 8, bytes.byteOffset + bytes.length),
      ),
    ).toEqual(new Float32Array([1, 2]));
  });

  test("strided tensors are written in row-major order", async () => {
    await saveSafetensors(path("strided"), { x: arange(6).reshape([2, 3]).transpose() });
    expect((await loadSafetensors(path("strided"))).get("x")?.arraySync()).toEqual([
      [0, 3],
      [1, 4],
      [2, 5],
    ]);
  });

  test("dtype casts floats only, meta reads nothing", async () => {
    await saveSafetensors(path("cast"), { x: tensor([1, 2]), ids: tensor([1, 2], { dtype: "i32" }) });
    const half = await loadSafetensors(path("cast"), { dtype: "bf16" });
    expect([...half.values()].map((x) => x.dtype).sort()).toEqual(["bf16", "i32"]);
    const meta = await loadSafetensors(path("cast"), { device: "meta" });
    expect(meta.get("x")?.device.name).toBe("meta");
    await expect(loadSafetensors(path("cast"), { dtype: "i32" as DType })).rejects.toThrow("must be a float");
  });

  test("data that is not aligned to its elements is read all the same", async () => {
    const header =
      '{"b":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"x":{"dtype":"F32","shape":[1],"data_offsets":[1,5]}}';
    const data = Buffer.alloc(5);
    data[0] = 9;
    data.writeFloatLE(2.5, 1);
    const loaded = await loadSafetensors(raw("unaligned", header, data));
    expect([loaded.get("b")?.itemSync(), loaded.get("x")?.itemSync()]).toEqual([9, 2.5]);
  });

  test("a mapped file is not written over, and can be once its tensors are gone", async () => {
    const file = path("mapped");
    await saveSafetensors(file, { x: arange(1000) });
    const loaded = await loadSafetensors(file);
    const view = loaded.get("x")!.at("10:12");
    await expect(saveSafetensors(file, { x: zeros([1]) })).rejects.toThrow("mapped from");
    expect(view.arraySync()).toEqual([10, 11]);
    loaded.dispose();
    view.dispose();
    await saveSafetensors(file, { x: zeros([1]) });
    expect((await loadSafetensors(file, { mmap: false })).get("x")?.arraySync()).toEqual([0]);
    await saveSafetensors(file, { x: zeros([2]) });
  });

  test("writing to a mapped tensor does not reach the file", async () => {
    await saveSafetensors(path("private"), { x: arange(3) });
    const before = readFileSync(path("private"));
    const loaded = await loadSafetensors(path("private"));
    loaded.get("x")!.setAt([0], 99);
    expect(loaded.get("x")?.arraySync()).toEqual([99, 1, 2]);
    expect(readFileSync(path("private")).equals(before)).toBe(true);
  });

  test("a failed save leaves the old file and nothing else", async () => {
    const file = path("kept");
    await saveSafetensors(file, { x: tensor([1]) });
    const before = readFileSync(file);
    const files = readdirSync(folder).length;
    const bad = tensor([1, 2]).take(tensor(new Int32Array([7])));
    await expect(saveSafetensors(file, { a: tensor([1]), bad })).rejects.toThrow();
    await expect(saveSafetensors(path("no/such/folder"), { x: tensor([1]) })).rejects.toMatchObject({
      code: "FILE",
    });
    await expect(saveSafetensors(folder, { x: tensor([1]) })).rejects.toMatchObject({ code: "FILE" });
    await expect(saveSafetensors(file, { __metadata__: tensor([1]) })).rejects.toThrow("__metadata__");
    expect(readFileSync(file).equals(before)).toBe(true);
    expect(readdirSync(folder).length).toBe(files);
  });

  test("tensors freed or dropped after the call are still written", async () => {
    const x = arange(1000);
    const saving = saveSafetensors(path("freed"), { x });
    x.dispose();
    await saving;
    expect((await loadSafetensors(path("freed"))).get("x")?.at(-1).itemSync()).toBe(999);
  });

  test("many tensors do not wait for the device one after another", async () => {
    const tensors = Object.fromEntries(Array.from({ length: 300 }, (_, i) => [`t${i}`, arange(100)]));
    // Rounds that take much longer than what the disk needs at the end.
    const x = zeros([512, 512]);
    let [rounds, saved] = [0, false];
    const saving = saveSafetensors(path("busy"), tensors).then(() => {
      saved = true;
    });
    // A program that keeps the device's queue filled: a read comes back a round later.
    while (!saved && rounds < 1000) {
      scope(() => {
        for (let i = 0; i < 20; i++) x.matmul(x);
      });
      rounds++;
      await device("cpu").ready({ pending: 20 });
      await new Promise(setImmediate);
    }
    await saving;
    // One after another, every tensor would take a round or more.
    expect(rounds, "rounds until all was saved").toBeLessThan(150);
  });
});

describe("hostile files", () => {
  const entry = (dtype: string, shape: unknown, offsets: unknown): string =>
    JSON.stringify({ x: { dtype, shape, data_offsets: offsets } });

  test.each([
    ["empty", () => raw("h", "", undefined, 0n)],
    ["no header", () => short("h")],
    ["huge header length", () => raw("h", "{}", undefined, 2n ** 63n)],
    ["header longer than the file", () => raw("h", "{}", undefined, 1000n)],
    ["no JSON", () => raw("h", "{]")],
    ["not UTF-8", () => raw("h", Buffer.from([0x7b, 0xff, 0xfe, 0x7d]))],
    ["cut off", () => raw("h", entry("F32", [4], [0, 16]), new Uint8Array(8))],
    ["data left over", () => raw("h", entry("F32", [1], [0, 4]), new Uint8Array(8))],
    ["offsets backwards", () => raw("h", entry("F32", [1], [4, 0]), new Uint8Array(4))],
    ["shape and offsets differ", () => raw("h", entry("F32", [2], [0, 4]), new Uint8Array(4))],
    ["shape overflows", () => raw("h", entry("F32", [2 ** 40, 2 ** 40], [0, 4]), new Uint8Array(4))],
    ["negative size", () => raw("h", entry("F32", [-1], [0, 4]), new Uint8Array(4))],
    [
      "size that is no number",
      () => raw("h", '{"x":{"dtype":"F32","shape":[NaN],"data_offsets":[0,4]}}', new Uint8Array(4)),
    ],
    ["fractional size", () => raw("h", entry("F32", [1.5], [0, 4]), new Uint8Array(4))],
    ["unknown dtype", () => raw("h", entry("F99", [1], [0, 4]), new Uint8Array(4))],
    [
      "overlap",
      () =>
        raw(
          "h",
          '{"x":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"y":{"dtype":"U8","shape":[4],"data_offsets":[2,6]}}',
          new Uint8Array(6),
        ),
    ],
    [
      "hole",
      () =>
        raw(
          "h",
          '{"x":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"y":{"dtype":"U8","shape":[1],"data_offsets":[2,3]}}',
          new Uint8Array(3),
        ),
    ],
  ])("%s is a FormatError that names the file", async (_, write) => {
    const file = write();
    const error = await loadSafetensors(file).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(FormatError);
    expect((error as FormatError).message).toContain(file);
    expect((error as FormatError).path).toBe(file);
  });

  test("a dtype that we have not is named with its tensor", async () => {
    const file = raw("f8", entry("F8_E4M3", [4], [0, 4]), new Uint8Array(4));
    await expect(loadSafetensors(file)).rejects.toThrow('tensor "x" has dtype F8_E4M3');
  });

  test("a file that is not there, or a folder, is a FileError", async () => {
    for (const file of [path("missing"), folder]) {
      const error = await loadSafetensors(file).catch((reason: unknown) => reason);
      expect(isOpenELMError(error, "FILE"), String(error)).toBe(true);
    }
    expect(existsSync(path("missing"))).toBe(false);
  });

  test("400 random changes of a good file give tensors or a FormatError, nothing else", async () => {
    await saveSafetensors(path("seed"), {
      a: arange(7),
      b: tensor([1n, 2n]),
      c: zeros([3, 2], { dtype: "bf16" }),
    });
    const good = readFileSync(path("seed"));
    const roll = dice(99);
    let refused = 0;
    for (let round = 0; round < 400; round++) {
      let bytes = Buffer.from(good);
      const header = Number(bytes.readBigUInt64LE());
      for (let changes = 1 + roll(4); changes > 0; changes--) {
        const at = roll(3) === 0 ? roll(8) : 8 + roll(header);
        if (roll(2) === 0) bytes[at] = roll(256);
        else bytes[at] = (bytes[at]! & 0xf8) | roll(8);
      }
      if (roll(4) === 0) bytes = bytes.subarray(0, roll(bytes.length));
      writeFileSync(path("mutant"), bytes);
      try {
        using loaded = await loadSafetensors(path("mutant"), { mmap: roll(2) === 0 });
        for (const x of loaded.values()) x.dataSync();
      } catch (error) {
        refused++;
        expect(isOpenELMError(error, "FORMAT"), String(error)).toBe(true);
      }
    }
    expect(refused).toBeGreaterThan(100);
  });
});
