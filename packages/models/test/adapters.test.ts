import { readFileSync, writeFileSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { LoRA, quantize } from "@openelm/nn";
import {
  FormatError,
  Generator,
  loadSafetensors,
  normal,
  saveSafetensors,
  type Tensor,
  tensor,
  UsageError,
} from "@openelm/tensor";
import "@openelm/testing/vitest";
import { describe, expect, test } from "vitest";
import {
  convertAdapter,
  convertModel,
  loadAdapter,
  OpenELM,
  saveAdapter,
  saveOpenELM,
} from "../src/index.js";
import { filesIn, GROUPED, temporary } from "./convert/support.js";
import { randomIds, tinyModel } from "./tiny.js";

const ids = randomIds([2, 9]);
const place = (name: string): string => join(temporary(), name);
const fresh = (): OpenELM => tinyModel(GROUPED).initialize().eval();

/** An adapter in a model, with values as after some training. */
function adapted(model: OpenELM, options: ConstructorParameters<typeof LoRA>[0] = {}): LoRA {
  const lora = new LoRA({ rank: 4, alpha: 6, ...options });
  model.apply(lora);
  let seed = 50;
  for (const [path, parameter] of lora.namedParameters()) {
    const step = normal(parameter.shape, { generator: new Generator(seed++) }).mul(0.1);
    parameter.value = path.endsWith("magnitude")
      ? parameter.value.mul(step.add(1))
      : parameter.value.add(step);
  }
  return lora;
}

interface PeftConfig {
  readonly r: number;
  readonly lora_alpha: number;
  readonly target_modules: readonly string[];
  readonly [key: string]: unknown;
}

const configIn = (folder: string): PeftConfig =>
  JSON.parse(readFileSync(join(folder, "adapter_config.json"), "utf8")) as PeftConfig;

const KINDS = [
  ["LoRA", {}],
  ["rank-stabilized LoRA", { rankStabilized: true }],
  ["DoRA", { dora: true }],
  ["LoRA of some layers", { targets: /layers\.1\.attn|ffn\.proj2/ }],
  [
    "LoRA of other ranks",
    { layer: (path: string) => (path.endsWith("proj1") ? { rank: 2, alpha: 8 } : undefined) },
  ],
  ["LoRA of look-ups", { targets: /tokenEmbeddings|qkvProj/ }],
] as const;

describe.each(KINDS)("%s", (_, options) => {
  test("comes back from PEFT's files as it was, and is written again to the same bytes", async () => {
    const model = fresh();
    const lora = adapted(model, options);
    const [folder, again] = [place("adapter"), place("adapter")];
    await saveAdapter(model, lora, folder, { base: "some/model" });
    const other = fresh();
    const loaded = await loadAdapter(other, folder);
    expect(await other.forward(ids).bytes()).toEqual(await model.forward(ids).bytes());
    await saveAdapter(other, loaded, again, { base: "some/model" });
    expect(filesIn(again)).toEqual(filesIn(folder));
    expect(configIn(folder)).toMatchObject({
      peft_type: "LORA",
      base_model_name_or_path: "some/model",
      bias: "none",
    });
  });

  test("does beside codes what it does beside the numbers that they stand for", async () => {
    const model = fresh();
    quantize(model, { bits: 8, group: 32 });
    const lora = adapted(model, options);
    const folder = place("adapter");
    await saveAdapter(model, lora, folder);
    const dense = fresh();
    for (const [path, layer] of model.namedModules()) {
      if ("matrix" in layer) {
        const { matrix } = layer as { matrix: { dequantize(): Tensor } };
        dense.parameter(`${path}.weight`).value = matrix.dequantize();
      }
    }
    await loadAdapter(dense, folder);
    expect(model.forward(ids)).toBeAllClose(dense.forward(ids), { rtol: 1e-3, atol: 1e-3 });
  });
});

describe("a PEFT folder", () => {
  test("has PEFT's names and shapes", async () => {
    const model = tinyModel({ ...GROUPED, tied: false }).eval();
    const lora = adapted(model, { targets: /tokenEmbeddings|classifier|layers\.0\.attn\.qkvProj/ });
    const folder = place("adapter");
    await saveAdapter(model, lora, folder);
    const tensors = await loadSafetensors(join(folder, "adapter_model.safetensors"));
    const qkv = model.layers[0]!.attn.qkvProj.weight.shape[0]!;
    expect(Object.fromEntries(Array.from(tensors, ([name, { shape }]) => [name, shape]))).toEqual({
      "base_model.model.lm_head.lora_A.weight": [4, 64],
      "base_model.model.lm_head.lora_B.weight": [96, 4],
      "base_model.model.transformer.token_embeddings.lora_embedding_A": [4, 96],
      "base_model.model.transformer.token_embeddings.lora_embedding_B": [64, 4],
      "base_model.model.transformer.layers.0.attn.qkv_proj.lora_A.weight": [4, 64],
      "base_model.model.transformer.layers.0.attn.qkv_proj.lora_B.weight": [qkv, 4],
    });
    const { r, lora_alpha, target_modules } = configIn(folder);
    expect([r, lora_alpha]).toEqual([4, 6]);
    // Only one of the layers that end with qkv_proj has an adapter, so its whole name stands there.
    expect(target_modules).toEqual(["lm_head", "token_embeddings", "transformer.layers.0.attn.qkv_proj"]);
  });

  test("of other ranks has patterns that PEFT matches by what a name ends with", async () => {
    const model = fresh();
    const layer = (path: string) => (path === "layers.1.ffn.proj1" ? { rank: 2, alpha: 3 } : undefined);
    const folder = place("adapter");
    await saveAdapter(model, adapted(model, { layer }), folder);
    expect(configIn(folder)).toMatchObject({
      r: 4,
      rank_pattern: { "layers\\.1\\.ffn\\.proj_1": 2 },
      alpha_pattern: { "layers\\.1\\.ffn\\.proj_1": 3 },
      target_modules: ["out_proj", "proj_1", "proj_2", "qkv_proj"],
    });
  });

  test("as PEFT itself lays it out gives (W + alpha / r · B A) x", async () => {
    const folder = temporary();
    const [a, b] = [
      normal([2, 64], { generator: new Generator(1) }),
      normal([64, 2], { generator: new Generator(2) }),
    ];
    const prefix = "base_model.model.transformer.layers.2.ffn.proj_2";
    const model = fresh();
    const inputs = model.layers[2]!.ffn.proj2.weight.shape[1]!;
    const wide = normal([2, inputs], { generator: new Generator(1) });
    await saveSafetensors(join(folder, "adapter_model.safetensors"), {
      [`${prefix}.lora_A.weight`]: wide,
      [`${prefix}.lora_B.weight`]: b,
    });
    // Keys of a recent version that nothing follows from are among them.
    const json = {
      ...{
        peft_type: "LORA",
        r: 2,
        lora_alpha: 5,
        target_modules: ["proj_2"],
        bias: "none",
        use_rslora: true,
      },
      ...{
        corda_config: null,
        eva_config: null,
        lora_bias: false,
        task_type: "CAUSAL_LM",
        lora_dropout: 0.05,
      },
    };
    writeFileSync(join(folder, "adapter_config.json"), JSON.stringify(json));
    const lora = await loadAdapter(model, folder);
    expect(lora.options.dropout).toBe(0.05);
    const plain = fresh();
    const { weight } = plain.layers[2]!.ffn.proj2;
    weight.value = weight.value.add(b.matmul(wide).mul(5 / Math.sqrt(2)));
    expect(model.forward(ids)).toBeAllClose(plain.forward(ids), { rtol: 1e-4, atol: 1e-4 });
    expect(a.shape).toEqual([2, 64]);
  });

  test("takes an alpha by the first pattern that a name ends with, or that is all of it", async () => {
    const model = fresh();
    const folder = place("adapter");
    await saveAdapter(model, adapted(model), folder);
    const config = join(folder, "adapter_config.json");
    const alpha_pattern = {
      "^layers.0.attn.out_proj": 99,
      "^transformer.layers.0.ffn.proj_.": 5,
      "1.attn.(out|qkv)_proj": 3,
      proj_2: 2,
    };
    writeFileSync(
      config,
      JSON.stringify({ ...configIn(folder), alpha_pattern, arrow_config: {}, use_bdlora: null }),
    );
    const lora = await loadAdapter(fresh(), folder);
    const alphas = Array.from(lora.layers.keys(), (path) => [path, lora.settingsOf(path).alpha]);
    expect(Object.fromEntries(alphas)).toMatchObject({
      "layers.0.attn.outProj": 6,
      "layers.0.ffn.proj1": 5,
      "layers.0.ffn.proj2": 5,
      "layers.1.attn.outProj": 3,
      "layers.1.attn.qkvProj": 3,
      "layers.1.ffn.proj1": 6,
      "layers.1.ffn.proj2": 2,
    });
  });

  test.each<[string, (json: Record<string, unknown>) => object, RegExp]>([
    ["another kind", (json) => ({ ...json, peft_type: "IA3" }), /peft_type must be LORA/],
    ["trained biases", (json) => ({ ...json, bias: "all" }), /bias must be none/],
    ["saved modules", (json) => ({ ...json, modules_to_save: ["lm_head"] }), /modules_to_save/],
    [
      "magnitudes that are missing",
      (json) => ({ ...json, use_dora: true }),
      /must have magnitudes just where/,
    ],
    ["an alpha of no number", (json) => ({ ...json, lora_alpha: "8" }), /lora_alpha must be a number/],
    [
      "a start that took its values from the model's weights",
      (json) => ({ ...json, init_lora_weights: "pissa_niter_4" }),
      /"pissa_niter_4", which changes the model's weights; save the adapter again with path_initial/,
    ],
    [
      "tokens that turn it on",
      (json) => ({ ...json, alora_invocation_tokens: [7, 8] }),
      /alora_invocation_tokens is not known/,
    ],
    [
      "layers used twice",
      (json) => ({ ...json, layer_replication: [[0, 2]] }),
      /layer_replication is not known/,
    ],
    ["a variant in use", (json) => ({ ...json, use_qalora: true }), /use_qalora is not known/],
    [
      "a pattern that is none here",
      (json) => ({ ...json, alpha_pattern: { "(?P<layer>proj_1)": 3 } }),
      /alpha_pattern: Invalid regular expression/,
    ],
    [
      "a pattern that an engine tries for ever",
      (json) => ({ ...json, alpha_pattern: { "([\\w.]+)+x": 2 } }),
      /the pattern .* could take without an end/,
    ],
  ])("of %s is refused, and the model stays as it was", async (_, change, message) => {
    const model = fresh();
    const folder = place("adapter");
    await saveAdapter(model, adapted(model), folder);
    const config = join(folder, "adapter_config.json");
    writeFileSync(
      config,
      JSON.stringify(change(JSON.parse(readFileSync(config, "utf8")) as Record<string, unknown>)),
    );
    const other = fresh();
    await expect(loadAdapter(other, folder)).rejects.toThrow(FormatError);
    await expect(loadAdapter(other, folder)).rejects.toThrow(message);
    expect(await other.forward(ids).bytes()).toEqual(await fresh().forward(ids).bytes());
  });

  test.each<[string, Record<string, Tensor>, RegExp]>([
    [
      "parts of layers that the model does not have",
      parts("layers.9.attn.qkv_proj", [4, 64], [64, 4]),
      /no layer transformer\.layers\.9/,
    ],
    [
      "another size",
      parts("layers.0.attn.qkv_proj", [4, 32], [64, 4]),
      /does not fit the model:\n {2}layers\.0\.attn\.qkvProj wants \[4, 64\], got \[4, 32\]/,
    ],
    [
      "parts that do not fit each other",
      parts("layers.0.attn.qkv_proj", [4, 64], [64, 3]),
      /do not fit each other: \[4, 64\] \[64, 3\]/,
    ],
    ["half of a layer", { [`${NAME}.lora_A.weight`]: tensor([[1]]) }, /must have both A and B/],
    ["something else", { "transformer.weight": tensor([[1]]) }, /is no part of an adapter/],
    ["whole numbers", { [`${NAME}.lora_A.weight`]: tensor([[1]], { dtype: "i32" }) }, /which no adapter has/],
    ["nothing", {}, /holds no adapter/],
  ])("of %s is refused", async (_, tensors, message) => {
    const folder = temporary();
    await saveSafetensors(join(folder, "adapter_model.safetensors"), tensors);
    writeFileSync(join(folder, "adapter_config.json"), JSON.stringify({ peft_type: "LORA", r: 4 }));
    const model = fresh();
    await expect(loadAdapter(model, folder)).rejects.toThrow(message);
    expect([...model.namedParameters()].some(([path]) => path.includes("lora"))).toBe(false);
    expect(model.tokenEmbeddings.weight.trainable).toBe(true);
  });

  test("of a kind that is nested without an end is refused", async () => {
    const folder = temporary();
    // Deeper than JSON can be written.
    const kind = `${"[".repeat(20_000)}${"]".repeat(20_000)}`;
    writeFileSync(join(folder, "adapter_config.json"), `{"peft_type":${kind}}`);
    await expect(loadAdapter(fresh(), folder)).rejects.toThrow(/peft_type must be LORA, got \[\[\[\[…/);
  });

  test("that is not there is a FileError, and one of pickles says what to do", async () => {
    await expect(loadAdapter(fresh(), place("nothing"))).rejects.toThrow(
      /adapter_config\.json cannot be read/,
    );
    const folder = temporary();
    writeFileSync(join(folder, "adapter_config.json"), '{"peft_type":"LORA"}');
    writeFileSync(join(folder, "adapter_model.bin"), "");
    await expect(loadAdapter(fresh(), folder)).rejects.toThrow(/save the adapter again as safetensors/);
  });
});

const NAME = "base_model.model.transformer.layers.0.attn.qkv_proj";

function parts(name: string, a: number[], b: number[]): Record<string, Tensor> {
  const prefix = `base_model.model.transformer.${name}`;
  return { [`${prefix}.lora_A.weight`]: normal(a), [`${prefix}.lora_B.weight`]: normal(b) };
}

const MLX_NAME = "transformer.layers.2.attn.qkv_proj";

const mlxParts = (): Record<string, Tensor> => ({
  [`${MLX_NAME}.lora_a`]: normal([64, 2]),
  [`${MLX_NAME}.lora_b`]: normal([2, 64]),
});

describe("an adapter of mlx-lm", () => {
  test.each([{}, { dora: true }])("%j goes to PEFT's form and back without a change", async (options) => {
    const model = fresh();
    const lora = adapted(model, { ...options, targets: /layers\.[12]\.attn/ });
    const [mlx, peft, back] = [place("mlx"), place("peft"), place("mlx")];
    await saveAdapter(model, lora, mlx, { format: "mlx" });
    const config = configIn(mlx) as unknown as { num_layers: number; lora_parameters: object };
    expect(config).toMatchObject({
      fine_tune_type: "dora" in options ? "dora" : "lora",
      num_layers: 2,
      lora_parameters: { rank: 4, scale: 1.5, dropout: 0, keys: ["attn.out_proj", "attn.qkv_proj"] },
    });
    const tensors = await loadSafetensors(join(mlx, "adapters.safetensors"));
    expect(tensors.get("transformer.layers.1.attn.qkv_proj.lora_a")!.shape).toEqual([64, 4]);
    const made = await convertAdapter(mlx, peft, { to: "peft" });
    expect(made).toMatchObject({ from: "mlx", to: "peft", layers: 4, parameters: lora.parameterCount() });
    await convertAdapter(peft, back, { to: "mlx", config: model.config });
    expect(filesIn(back)).toEqual(filesIn(mlx));
    for (const folder of [mlx, peft]) {
      const other = fresh();
      await loadAdapter(other, folder);
      expect(await other.forward(ids).bytes()).toEqual(await model.forward(ids).bytes());
    }
  });

  test.each<[string, string, Record<string, Tensor>, RegExp]>([
    [
      "parts that are none",
      "lora",
      { "transformer.norm.weight": tensor([1]) },
      /norm\.weight is no part of an adapter/,
    ],
    [
      "half of a layer",
      "lora",
      { [`${MLX_NAME}.lora_a`]: normal([64, 2]) },
      /must have the matrices lora_a and lora_b alone/,
    ],
    [
      "vectors",
      "lora",
      { [`${MLX_NAME}.lora_a`]: normal([2]), [`${MLX_NAME}.lora_b`]: normal([2]) },
      /must have the matrices/,
    ],
    ["no magnitudes where its kind has them", "dora", mlxParts(), /lora_b, and m$/],
    [
      "magnitudes where its kind has none",
      "lora",
      { ...mlxParts(), [`${MLX_NAME}.m`]: normal([64]) },
      /lora_b alone/,
    ],
    ["nothing", "lora", {}, /holds no adapter/],
  ])("of %s is refused", async (_, fine_tune_type, tensors, message) => {
    const folder = temporary();
    await saveSafetensors(join(folder, "adapters.safetensors"), tensors);
    const json = { fine_tune_type, num_layers: 1, lora_parameters: { rank: 2, scale: 2, dropout: 0 } };
    writeFileSync(join(folder, "adapter_config.json"), JSON.stringify(json));
    await expect(loadAdapter(fresh(), folder)).rejects.toThrow(FormatError);
    await expect(loadAdapter(fresh(), folder)).rejects.toThrow(message);
  });

  test("has one rank and one scale, for linear layers of blocks", async () => {
    const model = fresh();
    const layer = (path: string) => (path.endsWith("proj1") ? { rank: 2 } : undefined);
    const lora = adapted(model, { layer });
    await expect(saveAdapter(model, lora, place("mlx"), { format: "mlx" })).rejects.toThrow(
      /one rank and one scale/,
    );
    lora.remove();
    const tables = adapted(model, { targets: /tokenEmbeddings/ });
    await expect(saveAdapter(model, tables, place("mlx"), { format: "mlx" })).rejects.toThrow(UsageError);
    const peft = place("peft");
    await saveAdapter(model, tables, peft);
    await expect(convertAdapter(peft, place("mlx"), { to: "mlx" })).rejects.toThrow(/say which model/);
  });
});

describe("a conversion with an adapter", () => {
  test.each([{}, { dora: true }, { rankStabilized: true, targets: /ffn/ }])(
    "%j gives the weights that merging gives",
    async (options) => {
      const source = place("model");
      await saveOpenELM(fresh(), source);
      const model = await OpenELM.load(source);
      const lora = adapted(model, options);
      const [adapter, merged] = [place("adapter"), place("merged")];
      await saveAdapter(model, lora, adapter);
      await convertModel(source, merged, { to: "hf", adapter });
      lora.merge();
      const loaded = await OpenELM.load(merged);
      for (const [path, parameter] of model.namedParameters()) {
        expect(loaded.parameter(path).value, path).toBeAllClose(parameter.value, { rtol: 1e-6, atol: 1e-6 });
      }
    },
  );

  test("to an untied embedding merges look-ups, and refuses a tied one", async () => {
    const [tied, untied, adapter, merged] = [
      place("tied"),
      place("untied"),
      place("adapter"),
      place("merged"),
    ];
    await saveOpenELM(fresh(), tied);
    await saveOpenELM(tinyModel({ ...GROUPED, tied: false }).initialize(), untied);
    const model = (await OpenELM.load(untied)).eval();
    await saveAdapter(model, adapted(model, { targets: /tokenEmbeddings/ }), adapter);
    await convertModel(untied, merged, { to: "hf", adapter });
    const loaded = (await OpenELM.load(merged)).eval();
    expect(loaded.forward(ids)).toBeAllClose(model.forward(ids), { rtol: 1e-4, atol: 1e-4 });
    await expect(convertModel(tied, place("x"), { to: "hf", adapter })).rejects.toThrow(
      /the output layer too/,
    );
  });

  test("refuses one for another model", async () => {
    const [source, adapter] = [place("model"), place("adapter")];
    await saveOpenELM(fresh(), source);
    await mkdir(adapter);
    await saveSafetensors(
      join(adapter, "adapter_model.safetensors"),
      parts("layers.0.attn.qkv_proj", [4, 32], [64, 4]),
    );
    writeFileSync(join(adapter, "adapter_config.json"), JSON.stringify({ peft_type: "LORA", r: 4 }));
    await expect(convertModel(source, place("x"), { to: "hf", adapter })).rejects.toThrow(
      /is for weights \[64, 32\]/,
    );
  });
});
