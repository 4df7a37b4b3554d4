import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ConfigError } from "@openelm/native";
import { FileError, FormatError, liveTensors } from "@openelm/tensor";
import { collectGarbage } from "@openelm/testing";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  fromHFConfig,
  layerwiseScaling,
  OpenELM,
  type OpenELMOptions,
  openelmConfig,
  readConfig,
  saveOpenELM,
  toHFConfig,
} from "../src/index.js";
import { TABLES } from "./tables.js";

const HF_TINY = new URL("../../testing/goldens/hf-tiny/", import.meta.url).pathname;
const small: OpenELMOptions = { vocabSize: 20, layers: 2, modelDim: 16, headDim: 4, feedForwardDivisor: 8 };

describe("published sizes", () => {
  test.each(Object.entries(TABLES))("%s has the published shapes and counts", (name, table) => {
    collectGarbage();
    const before = liveTensors();
    const config = openelmConfig(name as keyof typeof TABLES);
    for (const key of ["queryHeads", "kvHeads", "feedForwardDim"] as const) {
      expect(config.layerShapes.map((shape) => shape[key])).toEqual(table[key]);
    }
    for (const [vocabSize, parameters] of Object.entries(table.parameters)) {
      const model = new OpenELM({ ...config, vocabSize: Number(vocabSize) });
      expect(model.parameterCount()).toBe(parameters);
    }
    const cached = config.layerShapes.reduce((sum, { kvHeads }) => sum + 2 * kvHeads * config.headDim, 0);
    expect(cached).toBe(table.cacheElements);
    expect(liveTensors()).toBe(before);
  });

  test("the test size has the framework's own count", () => {
    // 154,164 with adapters of 9,780.
    expect(new OpenELM(openelmConfig("gpt-test", { vocabSize: 100 })).parameterCount()).toBe(154_164 - 9_780);
  });

  test("the uniform size has the same layers throughout", () => {
    const { layerShapes } = openelmConfig("gpt-1_3B");
    expect(layerShapes).toEqual(Array(24).fill({ queryHeads: 32, kvHeads: 8, feedForwardDim: 6144 }));
  });
});

describe("layerwiseScaling", () => {
  const base = { modelDim: 100, headDim: 1, feedForwardDivisor: 1 };

  test("rounds multipliers as Python does: the exact value, ties to even", () => {
    // linspace(0.5, 1, 5) has 0.625 → 0.62 and 0.875 → 0.88; 1.115 is a little less than it looks.
    const widths = layerwiseScaling({ ...base, layers: 5, attention: [0.5, 1], feedForward: 1.115 });
    expect(widths.map(({ queryHeads }) => queryHeads)).toEqual([50, 62, 75, 88, 100]);
    expect(new Set(widths.map(({ feedForwardDim }) => feedForwardDim))).toEqual(new Set([111]));
  });

  test("takes one multiplier for each layer as it is", () => {
    const shapes = layerwiseScaling({
      ...base,
      modelDim: 1000,
      layers: 3,
      attention: [0.125, 0.251, 0.5],
      feedForward: [1, 2],
    });
    expect(shapes.map(({ queryHeads }) => queryHeads)).toEqual([125, 251, 500]);
    expect(shapes.map(({ feedForwardDim }) => feedForwardDim)).toEqual([1000, 1500, 2000]);
  });

  test("gives one layer the first multiplier, and never less than one unit nor 10 % too little", () => {
    expect(
      layerwiseScaling({
        layers: 1,
        modelDim: 128,
        headDim: 64,
        attention: [0.25, 0.5],
        feedForward: [0.25, 0.75],
      }),
    ).toEqual([{ queryHeads: 1, kvHeads: 1, feedForwardDim: 256 }]);
    // 100 · 1.4 = 140 would round to 128, which is less than 90 % of it.
    const [shape] = layerwiseScaling({
      ...base,
      layers: 1,
      attention: 1,
      feedForward: 1.43,
      feedForwardDivisor: 128,
    });
    expect(shape!.feedForwardDim).toBe(256);
  });

  test.each([
    [{ layers: 0 }, /layers must be a whole number above 0, got 0/],
    [{ headDim: 1.5 }, /headDim/],
    [{ attention: [] }, /attention wants one multiplier/],
    [{ attention: [1, 2, 3] }, /two \(first and last\) or 4 \(one a layer\), got 3/],
    [{ feedForward: Number.NaN }, /feedForward: multipliers must be numbers above 0, got NaN/],
    [{ feedForward: [1, Number.POSITIVE_INFINITY] }, /got 1, Infinity/],
    [{ attention: -1 }, /above 0/],
  ])("refuses %j", (wrong, message) => {
    const make = () => layerwiseScaling({ ...base, layers: 4, attention: 1, feedForward: 1, ...wrong });
    expect(make).toThrow(ConfigError);
    expect(make).toThrow(message);
  });
});

describe("openelmConfig", () => {
  test("takes undefined for the default", () => {
    expect(openelmConfig({ ...small, eps: undefined, tied: undefined })).toEqual(openelmConfig(small));
  });

  test("keeps shapes that were given, until the scaling changes", () => {
    const layerShapes = [1, 2].map((kvHeads) => ({ queryHeads: 2, kvHeads, feedForwardDim: 24 }));
    const config = openelmConfig({ ...small, layerShapes });
    expect(openelmConfig(config, { vocabSize: 30 }).layerShapes).toEqual(layerShapes);
    expect(new OpenELM(config).config.layerShapes).toEqual(layerShapes);
    expect(openelmConfig(config, { layers: 3 }).layerShapes).toHaveLength(3);
  });

  test.each([
    [{ vocabSize: 0 }, /vocabSize/],
    [{ headDim: 3 }, /headDim must be even/],
    [{ activation: "tanh" }, /activation must be one of swish/],
    [{ activation: "toString" }, /activation must be one of swish/],
    [{ eps: 0 }, /eps must be a number above 0/],
    [{ ropeBase: Number.NaN }, /ropeBase/],
    [{ maxContextLength: -1 }, /maxContextLength/],
    [{ paddingIndex: 20 }, /paddingIndex must be a token below vocabSize 20/],
    [{ eosId: -1 }, /eosId/],
    [{ layerShapes: [{ queryHeads: 1, kvHeads: 1, feedForwardDim: 8 }] }, /each of 2 layers, got 1/],
    [{ layerShapes: Array(2).fill({ queryHeads: 3, kvHeads: 2, feedForwardDim: 8 }) }, /multiple of kvHeads/],
  ])("refuses %j", (wrong, message) => {
    const make = () => openelmConfig({ ...small, ...(wrong as Partial<OpenELMOptions>) });
    expect(make).toThrow(ConfigError);
    expect(make).toThrow(message);
  });

  test("refuses a size that is none", () => {
    expect(() => new OpenELM("OpenELM-7B" as "OpenELM-3B")).toThrow(
      /no size "OpenELM-7B"; there are OpenELM-270M/,
    );
    expect(() => new OpenELM("constructor" as "OpenELM-3B")).toThrow(ConfigError);
  });
});

describe("config.json", () => {
  test.each(Object.keys(TABLES))("of %s comes back as it was", (name) => {
    const config = openelmConfig(name as keyof typeof TABLES);
    const json = JSON.parse(JSON.stringify(toHFConfig(config, "bf16")));
    expect(json.qkv_multipliers).toEqual([0.5, 1]);
    expect(json.ffn_multipliers).toHaveLength(config.layers);
    expect(json.torch_dtype).toBe("bfloat16");
    const back = fromHFConfig(json);
    expect(back.layerShapes).toEqual(config.layerShapes);
    expect(toHFConfig(back, "bf16")).toEqual(json);
  });

  test.each<[string, Partial<OpenELMOptions>]>([
    ["untied, without norms", { tied: false, qkNorm: false }],
    ["padding, other tokens", { paddingIndex: 3, bosId: 4, eosId: 5 }],
    ["another activation", { activation: "gelu_tanh", glu: false }],
    ["other numbers", { eps: 1e-5, ropeBase: 500, maxContextLength: 64 }],
    [
      "shapes of its own",
      {
        layerShapes: [
          [2, 1, 24],
          [6, 3, 40],
        ].map(([q, k, f]) => ({ queryHeads: q!, kvHeads: k!, feedForwardDim: f! })),
      },
    ],
  ])("keeps %s", (_, changes) => {
    const config = openelmConfig(small, changes);
    const { feedForward: _f, feedForwardDivisor: _d, attention: _a, ...rest } = config;
    expect(fromHFConfig(toHFConfig(config))).toMatchObject(rest);
  });

  test("may give feed-forward multipliers as the pair or one a layer", () => {
    const json = toHFConfig(openelmConfig("OpenELM-270M"));
    const pair = fromHFConfig({ ...json, ffn_multipliers: [0.5, 4] });
    expect(pair.layerShapes).toEqual(fromHFConfig(json).layerShapes);
  });

  test("decides about heads where it lists them", () => {
    const config = fromHFConfig({
      ...toHFConfig(openelmConfig(small)),
      num_query_heads: [2, 6],
      num_kv_heads: [1, 3],
    });
    expect(config.layerShapes.map(({ queryHeads, kvHeads }) => [queryHeads, kvHeads])).toEqual([
      [2, 1],
      [6, 3],
    ]);
    expect(new OpenELM(config).layers[1]!.attn.queryHeads).toBe(6);
  });

  test("without keys has the framework's defaults", () => {
    expect(fromHFConfig({ model_type: "openelm" })).toMatchObject({
      vocabSize: 32000,
      layers: 12,
      modelDim: 2048,
      headDim: 128,
      headsPerKvHead: 1,
      attention: 1,
      feedForward: 4,
      qkNorm: false,
      tied: false,
      glu: true,
      activation: "swish",
      paddingIndex: undefined,
    });
  });

  test.each([
    [{ model_type: "llama" }, /model_type must be "openelm", got "llama"/],
    [{ activation_fn_name: "tanh" }, /activation_fn_name must be one of swish.*got "tanh"/],
    [{ activation_fn_name: 5 }, /activation_fn_name/],
    [{ normalization_layer_name: "layer_norm" }, /normalization_layer_name/],
    [{ vocab_size: "many" }, /vocab_size must be a number, got "many"/],
    [{ head_dim: 3 }, /c\.json: headDim must be even/],
    [{ num_query_heads: [4] }, /num_query_heads must be a list of 2 whole numbers, got \[4\]/],
    [{ num_query_heads: [4, 4], num_kv_heads: [3, 4] }, /num_kv_heads must be divisors/],
    [{ ffn_multipliers: ["a"] }, /ffn_multipliers must be a number or a list/],
    [{ qkv_multipliers: [1, 2, 3] }, /c\.json: attention wants/],
    [{ share_input_output_layers: 1 }, /true or false/],
  ])("with %j is refused", (wrong, message) => {
    const read = () => fromHFConfig({ ...toHFConfig(openelmConfig(small)), ...wrong }, "c.json");
    expect(read).toThrow(FormatError);
    expect(read).toThrow(message);
  });
});

describe("a model's folder", () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "openelm-models-"));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  test("comes back byte for byte", async () => {
    const model = await OpenELM.load(HF_TINY);
    await saveOpenELM(model, folder);
    expect((await readdir(folder)).sort()).toEqual(["config.json", "model.safetensors"]);
    const [before, after] = await Promise.all(
      [HF_TINY, folder].map((f) => readFile(join(f, "model.safetensors"))),
    );
    expect(after!.equals(before!)).toBe(true);
    const [theirs, ours] = await Promise.all(
      [HF_TINY, folder].map(async (f) => JSON.parse(await readFile(join(f, "config.json"), "utf8"))),
    );
    expect(ours).toEqual(theirs);
  });

  test("may be loaded in another dtype, mapped", async () => {
    const model = await OpenELM.load(HF_TINY, { dtype: "bf16", mmap: true });
    expect(new Set(model.parameters().map(({ dtype }) => dtype))).toEqual(new Set(["bf16"]));
    expect(model.newCache().layer(0).k.dtype).toBe("bf16");
  });

  test("without its files, or with damaged ones, is a typed error", async () => {
    const other = await mkdtemp(join(folder, "damaged-"));
    await expect(OpenELM.load(join(other, "none"))).rejects.toThrow(FileError);
    await writeFile(join(other, "config.json"), "{");
    await expect(readConfig(other)).rejects.toThrow(/is not JSON/);
    await writeFile(join(other, "config.json"), "[]");
    await expect(readConfig(other)).rejects.toThrow(/must hold an object/);
    await writeFile(join(other, "config.json"), JSON.stringify(toHFConfig(openelmConfig(small))));
    await expect(OpenELM.load(other)).rejects.toThrow(FileError);
    await writeFile(join(other, "model.safetensors"), "no tensors");
    await expect(OpenELM.load(other)).rejects.toThrow(FormatError);
    await expect(saveOpenELM(new OpenELM(small), join(other, "config.json", "x"))).rejects.toThrow(FileError);
  });

  test("of another model names the tensors that do not fit", async () => {
    const other = await mkdtemp(join(folder, "other-"));
    await saveOpenELM(new OpenELM(small), other);
    const json = toHFConfig(openelmConfig(small, { layers: 3 }));
    await writeFile(join(other, "config.json"), JSON.stringify(json));
    await expect(OpenELM.load(other)).rejects.toThrow(
      /transformer\.layers\.2\.attn\.qkv_proj\.weight is missing/,
    );
  });
});
