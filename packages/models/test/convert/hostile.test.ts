//! Files that are cut off, that lie about themselves or that would have code executed.
import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { NewFile } from "../../src/convert/files/new-file.js";
import { ZipWriter } from "../../src/convert/zip/zip-writer.js";
import { convertModel, openModel } from "../../src/index.js";
import { GROUPED, golden, savedModel, temporary } from "./support.js";

/** An archive as torch writes it, with any pickle and records. */
async function archive(
  pickle: Uint8Array | string,
  records: Record<string, Uint8Array> = {},
): Promise<string> {
  const path = join(temporary(), "hostile.pt");
  await NewFile.write(path, async (file) => {
    const zip = new ZipWriter(file);
    await zip.addBytes("archive/data.pkl", Buffer.from(pickle as string, "latin1"));
    for (const [name, bytes] of Object.entries(records)) await zip.addBytes(`archive/${name}`, bytes);
    await zip.end();
  });
  return path;
}

const refuses = async (path: string, what: RegExp): Promise<void> => {
  const error = await openModel(path).then(
    () => undefined,
    (error: Error & { code?: string; path?: string }) => error,
  );
  expect(error, "no error").toBeDefined();
  expect(error!.message).toMatch(what);
  expect(error!.code).toBe("FORMAT");
  expect(error!.message).toContain(path);
};

const u32 = (value: number): string => {
  const out = Buffer.alloc(4);
  out.writeUInt32LE(value >>> 0);
  return out.toString("latin1");
};
const text = (value: string): string => `X${u32(value.length)}${value}`;

/** The pickle of one f32 tensor by the name of the embedding. */
const tensor = ({
  key = "0",
  elements = 4,
  offset = 0,
  shape = "K\x02K\x02\x86",
  strides = "K\x02K\x01\x86",
  type = "FloatStorage",
} = {}): string =>
  `\x80\x02}${text("token_embeddings.weight")}ctorch._utils\n_rebuild_tensor_v2\n((${text("storage")}ctorch\n${type}\n` +
  `${text(key)}${text("cpu")}J${u32(elements)}tQJ${u32(offset)}${shape}${strides}\x89ccollections\nOrderedDict\n)RtRs.`;

describe("a pickle", () => {
  test.each([
    ["os.system", "cos\nsystem\n(X\x04\x00\x00\x00echotR."],
    ["builtins.eval", "cbuiltins\neval\n(X\x01\x00\x00\x001tR."],
    ["builtins.__import__", `\x80\x04\x8c\x08builtins\x8c\x0a__import__\x93.`],
    ["__main__.Exploit", "c__main__\nExploit\n)\x81."],
    ["torch.load", "ctorch\nload\n(tR."],
    ["torch._utils.__class__", "ctorch._utils\n__class__\n(tR."],
    ["collections.OrderedDict.fromkeys", "ccollections\nOrderedDict.fromkeys\n(tR."],
    ["toString of objects of the reader", "c\ntoString\n(tR."],
    ["constructor", "cconstructor\nconstructor\n(tR."],
  ])("that names %s is refused where it does, and nothing is executed", async (_, code) => {
    await refuses(
      await archive(code.startsWith("\x80") ? code : `\x80\x02${code}`),
      /byte \d+: the pickle names .* nothing of it was executed/s,
    );
  });

  test.each([
    ["an instruction of old protocols that executes", "\x80\x02(ios\nsystem\n.", /instruction "i"/],
    ["extension codes", "\x80\x02\x82\x01.", /instruction 0x82/],
    ["a call of what is no function", "\x80\x02K\x01)R.", /no function/],
    [
      "a call of a name that is only an argument",
      "\x80\x02ctorch\nFloatStorage\n)R.",
      /not a function that is known/,
    ],
    ["nothing", "", /ends inside an instruction/],
    ["no end", "\x80\x02}", /ends inside an instruction/],
    ["a text that is longer than the file", `\x80\x02X${u32(0xfffffff0)}abc.`, /ends inside an instruction/],
    [
      "a text of 2^63 bytes",
      "\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\x7fabc.",
      /ends inside an instruction/,
    ],
    ["an empty stack", "\x80\x020.", /not there/],
    ["a bracket that was not opened", "\x80\x02t.", /not opened/],
    ["a value that it has not stored", "\x80\x02h\x07.", /value 7, which it has not stored/],
    ["a dictionary with half an item", "\x80\x02}(K\x01u.", /key without a value/],
    ["a list and no dictionary", "\x80\x02].", /no dictionary/],
    ["protocol 77", "\x80\x4d}.", /protocol 77/],
    ["no tensors", `\x80\x02}${text("epoch")}K\x01s.`, /no tensors by name; it has epoch/],
  ])("with %s is refused", async (_, code, what) => {
    await refuses(await archive(code), what);
  });

  test("whose values hold themselves ends in an error, not in a loop", async () => {
    const list = `]q\x00h\x00a`;
    const map = `}q\x01${text("model_state_dict")}h\x01s`;
    await refuses(await archive(`\x80\x02${list}0${map}.`), /no tensors by name/);
  });

  test("that doubles a list a thousand times takes no more memory than it has bytes", async () => {
    const double = Array.from({ length: 1000 }, (_, i) => `](j${u32(i)}j${u32(i)}er${u32(i + 1)}`).join("");
    await refuses(await archive(`\x80\x02]r${u32(0)}${double}}.`), /no tensors by name/);
  });

  test("whose keys are lists of lists a thousand times over is refused in no time", async () => {
    const double = Array.from({ length: 1000 }, (_, i) => `](j${u32(i)}j${u32(i)}er${u32(i + 1)}`).join("0");
    await refuses(
      await archive(`\x80\x02]r${u32(0)}0${double}0}j${u32(1000)}K\x01s.`),
      /no tensors by name; it has \[/,
    );
  });

  test("that stores at the largest index takes no more memory for it", async () => {
    await refuses(await archive(`\x80\x02}r${u32(0xffffffff)}.`), /no tensors by name/);
  });
});

describe("a tensor of an archive", () => {
  const numbers = new Uint8Array(16);

  test.each([
    ["without its record", { key: "9" }, /no record "9"/],
    ["of a record elsewhere", { key: "../../etc/passwd" }, /no record/],
    ["with more numbers than its record", { elements: 1 << 30 }, /are not the 16 of its record/],
    ["that reaches beyond its storage", { offset: 1 }, /beyond its storage/],
    [
      "that is larger than its storage",
      { shape: `J${u32(0x7fffffff)}J${u32(0x7fffffff)}\x86` },
      /beyond its storage/,
    ],
    ["with negative sizes", { shape: `J${u32(-1)}K\x02\x86` }, /no list of sizes/],
    ["whose rows overlap", { strides: "K\x00K\x01\x86" }, /contiguous/],
    ["of whole numbers", { type: "LongStorage" }, /LongStorage; weights are floats/],
    ["with another number of strides", { strides: "K\x01\x85" }, /one stride an axis/],
  ])("%s is refused", async (_, change, what) => {
    await refuses(await archive(tensor(change), { "data/0": numbers }), what);
  });

  test("alone is no model, and what is missing is named", async () => {
    await refuses(await archive(tensor(), { "data/0": numbers }), /the size of heads cannot be told/);
  });

  test("with a big-endian archive is refused", async () => {
    await refuses(
      await archive(tensor(), { byteorder: Buffer.from("big"), "data/0": numbers }),
      /byte order is "big"/,
    );
  });
});

describe("an archive", () => {
  test("that is cut off anywhere is refused", async () => {
    const model = await savedModel();
    const whole = join(temporary(), "m.pt");
    await convertModel(model, whole, { to: "corenet" });
    const bytes = readFileSync(whole);
    const path = join(temporary(), "cut.pt");
    for (const length of [
      0,
      1,
      2,
      30,
      100,
      1000,
      bytes.length >> 1,
      bytes.length - 200,
      bytes.length - 22,
      bytes.length - 1,
    ]) {
      writeFileSync(path, bytes.subarray(0, length));
      await refuses(path, /./);
    }
  });

  test("with any one byte of its list or pickle changed gives a model or a typed error", async () => {
    const model = await savedModel({ layers: 1 });
    const whole = join(temporary(), "m.pt");
    await convertModel(model, whole, { to: "corenet" });
    const bytes = readFileSync(whole);
    const path = join(temporary(), "changed.pt");
    const places = Array.from({ length: 400 }, (_, i) =>
      i < 200 ? (i * 7919) % 2000 : bytes.length - 1 - ((i * 7919) % 1500),
    );
    for (const at of places) {
      const changed = Buffer.from(bytes);
      changed[at]! ^= 1 << (at % 8);
      writeFileSync(path, changed);
      const source = await openModel(path).catch((error: { code?: string }) => error);
      if ("close" in source) await source.close();
      else expect(source.code, `byte ${at}: ${String(source)}`).toBe("FORMAT");
    }
  });

  test("of something else than tensors is refused", async () => {
    const path = join(temporary(), "other.pt");
    await NewFile.write(path, async (file) => {
      const zip = new ZipWriter(file);
      await zip.addBytes("letter.txt", Buffer.from("dear"));
      await zip.end();
    });
    await refuses(path, /no data\.pkl/);
    writeFileSync(path, "MZ");
    await refuses(path, /not an archive/);
  });
});

describe("a GGUF file", () => {
  const u64 = (value: bigint): string => {
    const out = Buffer.alloc(8);
    out.writeBigUInt64LE(BigInt.asUintN(64, value));
    return out.toString("latin1");
  };
  const head = (tensors: bigint, values: bigint): string => `GGUF${u32(3)}${u64(tensors)}${u64(values)}`;
  const string = (value: string): string => `${u64(BigInt(value.length))}${value}`;
  const file = (content: string): string => {
    const path = join(temporary(), "hostile.gguf");
    writeFileSync(path, Buffer.from(content, "latin1"));
    return path;
  };

  test.each([
    ["with version 9", `GGUF${u32(9)}`, /version 9/],
    ["that announces 2^60 tensors", head(1n << 60n, 0n), /announced/],
    ["that announces 2^60 values", head(0n, 1n << 60n), /announced/],
    ["with a key of 2^62 bytes", `${head(0n, 1n)}${u64(1n << 62n)}aaaaaaaaaaaa`, /announced/],
    [
      "with a list of 2^40 numbers",
      `${head(0n, 1n)}${string("a")}${u32(9)}${u32(4)}${u64(1n << 40n)}`,
      /announced/,
    ],
    ["with lists of lists", `${head(0n, 1n)}${string("a")}${u32(9)}${u32(9)}${u64(1n)}`, /arrays of arrays/],
    [
      "with a type that there is not",
      `${head(0n, 1n)}${string("a")}${u32(99)}${u64(0n)}`,
      /no type of values 99/,
    ],
    [
      "of another model",
      `${head(0n, 1n)}${string("general.architecture")}${u32(8)}${string("llama")}`,
      /of a model "llama"/,
    ],
    [
      "with an alignment of 0",
      `${head(0n, 1n)}${string("general.alignment")}${u32(4)}${u32(0)}`,
      /alignment/,
    ],
    ["with a tensor of 9 axes", `${head(1n, 0n)}${string("t")}${u32(9)}${u64(0n)}${u64(0n)}`, /9 axes/],
    [
      "with a tensor beyond its end",
      `${head(1n, 0n)}${string("t")}${u32(1)}${u64(1n << 50n)}${u32(0)}${u64(0n)}`,
      /cut off/,
    ],
    [
      "with an encoding that is not read",
      `${head(1n, 0n)}${string("t")}${u32(1)}${u64(8n)}${u32(20)}${u64(0n)}`,
      /encoding 20/,
    ],
  ])("%s is refused", async (_, content, what) => {
    await refuses(file(content), what);
  });

  test("that is cut off anywhere, or has one bit changed, gives a model or a typed error", async () => {
    const model = await savedModel({ ...GROUPED, layers: 1 });
    const whole = join(temporary(), "m.gguf");
    await convertModel(model, whole, { to: "gguf", encoding: "q8_0" });
    const bytes = readFileSync(whole);
    const path = join(temporary(), "changed.gguf");
    for (let i = 0; i < 300; i++) {
      const at = (i * 7919) % 2048;
      const changed = Buffer.from(i % 3 === 0 ? bytes.subarray(0, at) : bytes);
      if (i % 3 !== 0) changed[at]! ^= 1 << (i % 8);
      writeFileSync(path, changed);
      const source = await openModel(path).catch((error: { code?: string }) => error);
      if ("close" in source) await source.close();
      else expect(source.code, `byte ${at}: ${String(source)}`).toBe("FORMAT");
    }
  });
});

describe("a folder", () => {
  const folder = async (index: unknown): Promise<string> => {
    const path = await savedModel();
    writeFileSync(join(path, "model.safetensors.index.json"), JSON.stringify(index));
    return path;
  };

  test.each([
    [
      "names files elsewhere",
      { weight_map: { a: "../../secret.safetensors" } },
      /must name files of the folder/,
    ],
    ["names what is no text", { weight_map: { a: 3 } }, /must name files of the folder/],
    ["has no map", [], /no weight_map/],
  ])("whose index %s is refused", async (_, index, what) => {
    await refuses(await folder(index), what);
  });

  test("whose header is longer than its file is refused", async () => {
    const path = await savedModel();
    const bytes = readFileSync(join(path, "model.safetensors"));
    bytes.writeBigUInt64LE(1n << 50n);
    writeFileSync(join(path, "model.safetensors"), bytes);
    await refuses(path, /./);
  });

  test.each([
    ["bits", { bits: 99, group_size: 64 }],
    ["groups", { bits: 4, group_size: 7 }],
    ["mode", { bits: 4, group_size: 64, mode: "mxfp4" }],
  ])("with %s that are not read is refused", async (_, quantization) => {
    const path = await savedModel();
    const config = JSON.parse(readFileSync(join(path, "config.json"), "utf8"));
    writeFileSync(join(path, "config.json"), JSON.stringify({ ...config, quantization }));
    await refuses(path, /bits 2 to 8, group_size 32, 64 or 128/);
  });

  const DEEP = `${"[".repeat(20_000)}${"]".repeat(20_000)}`;

  test.each([
    ["config.json", "vocab_size", /vocab_size must be a number, got \[\[\[\[…\]\]\]\]/],
    ["config.json", "quantization", /quantization must have bits 2 to 8/],
    ["model.safetensors.index.json", "weight_map", /must name files of the folder, got \[\[\[/],
  ])(
    "whose %s has values that are nested without an end is refused for what they are",
    async (name, key, what) => {
      const path = await savedModel();
      const file = join(path, name);
      const value = key === "weight_map" ? `{"a":${DEEP}}` : DEEP;
      const others = existsSync(file) ? readFileSync(file, "utf8").trim().slice(0, -1) : '{"a":1';
      // The last one of a key counts.
      writeFileSync(file, `${others},"${key}":${value}}`);
      await refuses(path, what);
    },
  );

  test.each([4097, 1e9, 2 ** 53])(
    "with %d layers is refused before anything is made of them",
    async (layers) => {
      const path = await savedModel();
      const json = JSON.parse(readFileSync(join(path, "config.json"), "utf8"));
      const { num_query_heads: _, num_kv_heads: __, ...rest } = json;
      const config = { ...rest, num_transformer_layers: layers, ffn_multipliers: [1, 2] };
      writeFileSync(join(path, "config.json"), JSON.stringify(config));
      await refuses(path, /num_transformer_layers must be at most 4096/);
    },
  );

  test("with a key that is nested too deep to be written again is refused where it is to be", async () => {
    const path = await savedModel();
    const config = readFileSync(join(path, "config.json"), "utf8");
    const deep = `${"[".repeat(20_000)}${"]".repeat(20_000)}`;
    writeFileSync(join(path, "config.json"), config.replace("{", `{"more": ${deep},`));
    const converting = convertModel(path, join(temporary(), "mlx"), {
      to: "mlx",
      quantize: { bits: 4, group: 32 },
    });
    await expect(converting).rejects.toThrow(/its configuration is nested too deep/);
    await expect(converting).rejects.toMatchObject({ code: "FORMAT" });
  });

  test("whose tokenizer's configuration is no JSON is refused", async () => {
    const path = await savedModel({ vocabSize: 1024 });
    copyFileSync(golden("tiny-sp.model"), join(path, "tokenizer.model"));
    writeFileSync(join(path, "tokenizer_config.json"), "{");
    const converting = convertModel(path, join(temporary(), "m.gguf"), { to: "gguf" });
    await expect(converting).rejects.toThrow(/tokenizer_config\.json is not JSON/);
  });

  test("without a configuration is no model", async () => {
    const path = join(temporary(), "empty");
    mkdirSync(path);
    await refuses(path, /has no config\.json/);
  });
});
