import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Generator, normal, QuantizedTensor, tensor } from "@openelm/tensor";
import { describe, expect, test } from "vitest";
import { type ConvertOptions, convertModel, generate, OpenELM, openModel } from "../../src/index.js";
import { letters, randomIds } from "../tiny.js";
import {
  difference,
  filesIn,
  GROUPED,
  golden,
  logitsOf,
  savedModel,
  sum,
  sumsIn,
  temporary,
} from "./support.js";

/** A name in a new folder. */
const place = (name: string): string => join(temporary(), name);

async function converted(source: string, name: string, options: ConvertOptions): Promise<string> {
  const path = place(name);
  await convertModel(source, path, options);
  return path;
}

const ids = randomIds([2, 9]);

describe("a folder of the Hugging Face port", () => {
  test("that another program wrote is the same bytes after it was converted to the same form", async () => {
    const folder = await converted(golden("hf-tiny"), "hf", { to: "hf" });
    expect(sumsIn(folder)).toEqual(sumsIn(golden("hf-tiny")));
  });

  test("is the same bytes after CoreNet's form, MLX's form and GGUF", async () => {
    const model = await savedModel();
    const corenet = await converted(model, "model.pt", { to: "corenet" });
    const mlx = await converted(model, "mlx", { to: "mlx" });
    const gguf = await converted(model, "model.gguf", { to: "gguf" });
    const wanted = filesIn(model);
    for (const source of [corenet, mlx, gguf]) {
      const back = filesIn(await converted(source, "hf", { to: "hf" }));
      expect(sum(back.get("model.safetensors"))).toBe(sum(wanted.get("model.safetensors")));
    }
    const config = filesIn(await converted(mlx, "hf", { to: "hf" })).get("config.json");
    expect(String(config)).toBe(String(wanted.get("config.json")));
  });

  test("in bf16 keeps its numbers in every form", async () => {
    const model = await savedModel({}, "bf16");
    for (const [name, to] of [
      ["m.pt", "corenet"],
      ["m.gguf", "gguf"],
      ["mlx", "mlx"],
    ] as const) {
      const there = await converted(model, name, { to });
      const back = await converted(there, "hf", { to: "hf", dtype: "bf16" });
      expect(sumsIn(back)["model.safetensors"]).toBe(sumsIn(model)["model.safetensors"]);
    }
  });

  test("in parts stays in parts, and loads", async () => {
    const model = await savedModel();
    const parts = await converted(model, "parts", { to: "mlx" });
    await splitInTwo(parts);
    const again = await converted(parts, "again", { to: "mlx" });
    expect(sumsIn(again)).toEqual(sumsIn(parts));
    expect(await logitsOf(parts, ids)).toEqual(await logitsOf(model, ids));
  });

  test("of one dtype becomes one of another", async () => {
    const model = await savedModel();
    const half = await converted(model, "half", { to: "hf", dtype: "f16" });
    const loaded = await OpenELM.load(half);
    expect(loaded.norm.weight.dtype).toBe("f16");
    expect(JSON.parse(filesIn(half).get("config.json")!.toString())).toMatchObject({
      torch_dtype: "float16",
    });
    expect(difference(await logitsOf(half, ids), await logitsOf(model, ids))).toBeLessThan(0.05);
  });
});

describe("a folder of MLX", () => {
  test("that another program wrote is the same bytes after the form of the Hugging Face port", async () => {
    const folder = asMlxWrites(await savedModel());
    const hf = await converted(folder, "hf", { to: "hf" });
    expect(await logitsOf(hf, ids)).toEqual(await logitsOf(folder, ids));
    const back = filesIn(await converted(hf, "mlx", { to: "mlx" }));
    for (const [name, bytes] of filesIn(folder)) expect(sum(back.get(name)), name).toBe(sum(bytes));
  });

  test.each([
    [4, 64],
    [4, 32],
    [8, 64],
    [3, 32],
  ])(
    "in codes of %d bits and groups of %d loads as what this library rounds itself, and stays the same",
    async (bits, group) => {
      const model = await savedModel(GROUPED);
      const mlx = await converted(model, "mlx", { to: "mlx", quantize: { bits, group } });
      const { quantize } = await import("@openelm/nn");
      const own = (await OpenELM.load(model)).eval();
      quantize(own, { bits, group });
      const wanted = (await own.forward(ids).data()) as Float32Array;
      expect(await logitsOf(mlx, ids)).toEqual(wanted);
      expect(sumsIn(await converted(mlx, "again", { to: "mlx" }))).toEqual(sumsIn(mlx));
      expect(JSON.parse(filesIn(mlx).get("config.json")!.toString()).quantization).toMatchObject({
        bits,
        group_size: group,
      });
      const dense = await converted(mlx, "dense", { to: "hf" });
      expect(difference(await logitsOf(dense, ids), wanted)).toBeLessThan(1e-4);
    },
  );

  test("whose layers are quantized in several ways keeps them apart", async () => {
    const model = await savedModel(GROUPED);
    const mlx = await converted(model, "mlx", { to: "mlx", quantize: { bits: 8, group: 64 } });
    const four = await converted(model, "four", { to: "mlx", quantize: { bits: 4, group: 32 } });
    const source = await openModel(four);
    await source.close();
    expect(source.weights.get("token_embeddings.weight")!.encoding).toMatchObject({ bits: 4, group: 32 });
    const config = JSON.parse(readFileSync(join(mlx, "config.json"), "utf8"));
    config.quantization["transformer.token_embeddings"] = { bits: 4, group_size: 32 };
    writeFileSync(join(mlx, "config.json"), JSON.stringify(config));
    await expect(openModel(mlx)).rejects.toThrow(
      /transformer\.token_embeddings\.weight.*are no codes of 4 bits in groups of 32/s,
    );
  });

  test("of CoreNet's example, whose configuration names a size alone, is told by its tensors", async () => {
    const folder = asMlxWrites(await savedModel(), (name) => name.replace("transformer.", ""));
    writeFileSync(
      join(folder, "config.json"),
      JSON.stringify({ model_name: "tiny", vocab_size: 29, max_context_length: 64 }),
    );
    const hf = await converted(folder, "hf", { to: "hf" });
    expect((await OpenELM.load(hf)).config).toMatchObject({
      layers: 3,
      headDim: 8,
      maxContextLength: 64,
      tied: true,
    });
  });
});

describe("a GGUF file", () => {
  test.each(["q8_0", "q4_0"] as const)("of %s becomes the same numbers in MLX's codes", async (encoding) => {
    const gguf = await converted(await savedModel(GROUPED), "m.gguf", { to: "gguf", encoding });
    const mlx = await converted(gguf, "mlx", { to: "mlx" });
    const dense = await converted(gguf, "hf", { to: "hf" });
    expect(difference(await logitsOf(mlx, ids), await logitsOf(dense, ids))).toBeLessThan(1e-2);
    const again = await converted(gguf, "again.gguf", { to: "gguf" });
    expect(readFileSync(again).equals(readFileSync(gguf))).toBe(false); // another name inside
    expect(readFileSync(again).length).toBe(readFileSync(gguf).length);
  });

  test("keeps the configuration, as far as it has keys for it", async () => {
    const model = await savedModel({ ...GROUPED, ropeBase: 50000, eps: 1e-5 });
    const gguf = await converted(model, "m.gguf", { to: "gguf" });
    const [a, b] = [await openModel(gguf), await openModel(model)];
    await Promise.all([a.close(), b.close()]);
    for (const key of [
      "layerShapes",
      "ropeBase",
      "eps",
      "vocabSize",
      "maxContextLength",
      "headDim",
    ] as const) {
      expect(a.config[key]).toEqual(b.config[key]);
    }
  });
});

describe("the vocabulary", () => {
  const SMALL = {
    layers: 1,
    modelDim: 8,
    headDim: 4,
    headsPerKvHead: 1,
    attention: 1,
    feedForward: 1,
  } as const;

  test("of 32128 is cut to 32000 for other programs, and kept in CoreNet's form", async () => {
    const model = await savedModel({ ...SMALL, vocabSize: 32128, paddingIndex: 32000 });
    const hf = await OpenELM.load(await converted(model, "hf", { to: "hf" }));
    expect(hf.config).toMatchObject({ vocabSize: 32000, paddingIndex: undefined });
    const corenet = await openModel(await converted(model, "m.pt", { to: "corenet" }));
    await corenet.close();
    expect(corenet.config).toMatchObject({ vocabSize: 32128, paddingIndex: 32000 });
  });

  test("grows by rows of zeros when a larger one is named", async () => {
    const model = await savedModel({ ...SMALL, vocabSize: 32000 });
    const padded = await OpenELM.load(await converted(model, "hf", { to: "hf", vocabulary: "padded" }));
    expect(padded.config).toMatchObject({ vocabSize: 32001, paddingIndex: 32000 });
    const last = padded.tokenEmbeddings.weight.value.at("-1:") as import("@openelm/tensor").Tensor;
    expect(await last.array()).toEqual([Array(8).fill(0)]);
  });

  test("of any other size stays", async () => {
    const hf = await OpenELM.load(await converted(await savedModel(), "hf", { to: "hf" }));
    expect(hf.config.vocabSize).toBe(29);
  });
});

describe("what is there already", () => {
  test("is not written over unless that is asked for", async () => {
    const model = await savedModel();
    const hf = await converted(model, "hf", { to: "hf" });
    await expect(convertModel(model, hf, { to: "hf" })).rejects.toThrow(/exists and is not empty/);
    writeFileSync(join(hf, "old.safetensors"), "");
    await convertModel(model, hf, { to: "hf", replace: true });
    expect(existsSync(join(hf, "old.safetensors"))).toBe(false);
    const pt = await converted(model, "m.pt", { to: "corenet" });
    await expect(convertModel(model, pt, { to: "corenet" })).rejects.toThrow(/exists/);
    await expect(convertModel(model, model, { to: "hf", replace: true })).rejects.toThrow(/both/);
  });

  test("stays when the work is stopped, and nothing else is left", async () => {
    const model = await savedModel();
    const folder = temporary();
    const stop = new AbortController();
    const options = {
      to: "hf",
      signal: stop.signal,
      onProgress: () => stop.abort(new Error("enough")),
    } as const;
    await expect(convertModel(model, join(folder, "hf"), options)).rejects.toThrow("enough");
    expect(filesIn(folder).size).toBe(0);
  });
});

test("progress counts the bytes of the weights up to all of them", async () => {
  const model = await savedModel();
  const seen: number[] = [];
  let total = 0;
  const { bytes, parameters } = await convertModel(model, place("m.pt"), {
    to: "corenet",
    onProgress: (progress) => {
      seen.push(progress.done);
      total = progress.total;
    },
  });
  expect(bytes).toBe(4 * parameters);
  expect(seen.at(-1)).toBe(total);
  expect(total).toBe(bytes);
});

/** Puts the tensors of a folder's file into two files with an index. */
async function splitInTwo(folder: string): Promise<void> {
  const { loadSafetensors, saveSafetensors } = await import("@openelm/tensor");
  const { rmSync } = await import("node:fs");
  const file = join(folder, "model.safetensors");
  const tensors = [...(await loadSafetensors(file, { mmap: false }))];
  const map: Record<string, string> = {};
  for (const [i, part] of [tensors.slice(0, 9), tensors.slice(9)].entries()) {
    const name = `model-0000${i + 1}-of-00002.safetensors`;
    await saveSafetensors(join(folder, name), new Map(part), { metadata: { format: "mlx" } });
    for (const [tensor] of part) map[tensor] = name;
  }
  rmSync(file);
  writeFileSync(
    join(folder, "model.safetensors.index.json"),
    JSON.stringify({ metadata: {}, weight_map: map }),
  );
}

/** Rewrites a folder's file as MLX does: tensors in an order of its own, keys sorted, no spaces to fill up. */
function asMlxWrites(folder: string, rename = (name: string): string => name): string {
  const file = join(folder, "model.safetensors");
  const bytes = readFileSync(file);
  const start = 8 + Number(bytes.readBigUInt64LE());
  const header = JSON.parse(bytes.subarray(8, start).toString()) as Record<
    string,
    { data_offsets: number[] }
  >;
  const entries = Object.entries(header)
    .filter(([name]) => name !== "__metadata__")
    .reverse();
  const out: Record<string, object> = { __metadata__: { format: "mlx" } };
  const parts: Buffer[] = [];
  let at = 0;
  for (const [name, { data_offsets: offsets, ...rest }] of entries) {
    const part = bytes.subarray(start + offsets[0]!, start + offsets[1]!);
    out[rename(name)] = { data_offsets: [at, at + part.length], ...rest };
    parts.push(part);
    at += part.length;
  }
  const sorted = Object.fromEntries(Object.entries(out).sort(([a], [b]) => (a < b ? -1 : 1)));
  const json = Buffer.from(JSON.stringify(sorted));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  writeFileSync(file, Buffer.concat([length, json, ...parts]));
  return folder;
}

/** Ids alone count. */
const NO_TEXT = { tokenizer: letters, stopIds: [], addBos: false };

test("a folder of codes from GGUF, with scales of f16 beside norms of f32, generates as its plain numbers do", async () => {
  const source = await savedModel({ ...GROUPED, layers: 2 });
  const [file, codes, plain] = ["m.gguf", "codes", "plain"].map((name) => join(temporary(), name)) as [
    string,
    string,
    string,
  ];
  await convertModel(source, file, { to: "gguf", encoding: "q8_0" });
  await convertModel(file, codes, { to: "mlx" });
  await convertModel(file, plain, { to: "hf", dtype: "f32" });
  const ids = randomIds([1, 9]);
  expect(difference(await logitsOf(codes, ids), await logitsOf(plain, ids))).toBeLessThan(1e-2);
  const model = (await OpenELM.load(codes)).eval();
  const { ids: text } = await generate(model, [1, 2, 3], { ...NO_TEXT, maxTokens: 6 }).result();
  const other = (await OpenELM.load(plain)).eval();
  expect(text).toEqual((await generate(other, [1, 2, 3], { ...NO_TEXT, maxTokens: 6 }).result()).ids);
});

describe("codes that were made plain and rounded again", () => {
  const again = (from: QuantizedTensor): QuantizedTensor =>
    QuantizedTensor.from(from.dequantize({ dtype: "f32" }), {
      bits: from.bits,
      group: from.group,
      scaleDtype: "f32",
    });

  test("are other ones where the last code was not in use", async () => {
    const group = [-10, 4.45, ...Array.from({ length: 30 }, () => 0)];
    const first = QuantizedTensor.from(tensor([group]), { bits: 4, group: 32, scaleDtype: "f32" });
    const second = again(first);
    expect(await first.scales.array()).toEqual([[1]]);
    expect((await second.scales.array()) as number[][]).toEqual([[Math.fround(10 / 11)]]);
    expect(await second.codes.array()).not.toEqual(await first.codes.array());
  });

  test.each([2, 4, 8])(
    "are the same, scales and all, in exactly the groups where it was, at %i bits",
    async (bits) => {
      const weights = normal([64, 256], { generator: new Generator(5) });
      const first = QuantizedTensor.from(weights, { bits, group: 32, scaleDtype: "f32" });
      const parts = async ({ codes, scales, biases }: QuantizedTensor): Promise<readonly Uint32Array[]> => {
        const words = [codes, scales, biases].map(
          async (part) => new Uint32Array((await part.bytes()).slice().buffer),
        );
        return Promise.all(words);
      };
      const [a, b] = [await parts(first), await parts(again(first))];
      const groups = (64 * 256) / 32;
      let back = 0;
      for (let g = 0; g < groups; g++) {
        const codes = (all: readonly Uint32Array[]): string =>
          String(all[0]!.slice(g * bits, (g + 1) * bits));
        const isSame = codes(a) === codes(b) && a[1]![g] === b[1]![g] && a[2]![g] === b[2]![g];
        const used = a[0]!.slice(g * bits, (g + 1) * bits);
        const last = Array.from(used).some((word) =>
          Array.from({ length: 32 / bits }, (_, i) => (word >>> (i * bits)) & (2 ** bits - 1)).includes(
            2 ** bits - 1,
          ),
        );
        expect(isSame, `group ${g}`).toBe(last);
        if (isSame) back++;
      }
      expect(back).toBeGreaterThan(groups / 2);
    },
  );
});
