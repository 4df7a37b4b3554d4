import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { QuantizedEmbedding, QuantizedLinear, quantize } from "@openelm/nn";
import { Generator, randint, readSafetensorsHeader, UsageError } from "@openelm/tensor";
import { describe, expect, test } from "vitest";
import { calibrate, convertModel, OpenELM, perplexity, quantizeModel, saveOpenELM } from "../../src/index.js";
import { GROUPED, golden, savedModel, sumsIn, temporary } from "../convert/support.js";
import { tinyModel } from "../tiny.js";

/** Texts whose tokens follow from each other: each is near the one before. */
function walks(count: number, length: number, seed: number): Int32Array[] {
  const steps = randint([count, length], 0, 5, { generator: new Generator(seed) }).arraySync() as number[][];
  return steps.map((row) => {
    let at = 40;
    return Int32Array.from(row, (step) => {
      at = (at + step + 94) % 96;
      return at;
    });
  });
}

const sequences = walks(12, 60, 1);
const unseen = walks(6, 60, 2);
const place = (name: string): string => join(temporary(), name);

describe("calibrate", () => {
  const base = tinyModel(GROUPED).eval();
  const kl = async (model: OpenELM): Promise<number> =>
    (await perplexity(model, unseen, { against: base })).against!.kl;

  test.each([true, false])("stays nearer to the model than rounding does (tied: %s)", async (tied) => {
    const from = tinyModel({ ...GROUPED, tied }).eval();
    const [calibrated, rounded] = [tinyModel({ ...GROUPED, tied }), tinyModel({ ...GROUPED, tied })];
    const steps: number[] = [];
    const options = { bits: 4, group: 64 };
    const count = await calibrate(calibrated, {
      ...options,
      sequences,
      onProgress: ({ done }) => steps.push(done),
    });
    expect(count).toBe(quantize(rounded, options));
    expect(steps).toEqual(Array.from({ length: count }, (_, i) => i + 1));
    const [ours, theirs] = await Promise.all(
      [calibrated, rounded].map(
        async (model) => (await perplexity(model, unseen, { against: from })).against!.kl,
      ),
    );
    expect(ours).toBeLessThan(0.75 * theirs!);
    expect(calibrated.tokenEmbeddings).toBeInstanceOf(QuantizedEmbedding);
    expect(calibrated.layers[2]!.ffn.proj2).toBeInstanceOf(QuantizedLinear);
    expect(calibrated.training).toBe(true);
  });

  test("leaves out what the filter says, and gives the same codes again", async () => {
    const models = [tinyModel(GROUPED), tinyModel(GROUPED)];
    const filter = (path: string): boolean => path !== "tokenEmbeddings" && !path.startsWith("layers.1.");
    for (const model of models) expect(await calibrate(model, { sequences, group: 32, filter })).toBe(8);
    const [one, two] = models as [OpenELM, OpenELM];
    expect(one.layers[1]!.attn.qkvProj).not.toBeInstanceOf(QuantizedLinear);
    for (const [path, parameter] of one.namedParameters()) {
      expect(await parameter.value.bytes(), path).toEqual(await two.parameter(path).value.bytes());
    }
    expect(await kl(one)).toBeLessThan(0.1);
  });

  test("changes nothing where it refuses", async () => {
    const model = tinyModel();
    await expect(calibrate(model, { sequences: [] })).rejects.toThrow(/there must be sequences/);
    await expect(calibrate(model, { sequences })).rejects.toThrow(/none with the number/);
    const wide = tinyModel({ ...GROUPED, modelDim: 96 });
    await expect(calibrate(wide, { sequences })).rejects.toThrow(
      /whole groups of 64: tokenEmbeddings \(96\)/,
    );
    const signal = AbortSignal.abort(new Error("stopped"));
    await expect(calibrate(tinyModel(GROUPED), { sequences, signal })).rejects.toThrow("stopped");
    expect(model.tokenEmbeddings).not.toBeInstanceOf(QuantizedEmbedding);
  });
});

describe("quantizeModel", () => {
  test("rounds what mlx-lm would, to the bytes that a conversion gives, and says how small it is", async () => {
    const source = await savedModel(GROUPED);
    const [folder, converted] = [place("q"), place("c")];
    const made = await quantizeModel(source, folder, { bits: 4, group: 32 });
    await convertModel(source, converted, { to: "mlx", quantize: { bits: 4, group: 32 } });
    expect(sumsIn(folder)).toEqual(sumsIn(converted));
    const model = await OpenELM.load(folder);
    expect(made.layers).toBe([...model.namedModules()].filter(([, m]) => "matrix" in m).length);
    expect(made.kept).toEqual([]);
    expect(made.bytesBefore).toBe(4 * made.parameters);
    // 4 bits a code and two f32 for 32 of them; norms stay.
    expect(made.bitsPerWeight).toBeGreaterThan(6);
    expect(made.bitsPerWeight).toBeLessThan(6.3);
  });

  test("keeps layers by their names in the folder, plain and with calibration", async () => {
    const source = await savedModel({ ...GROUPED, tied: false }, "bf16");
    const keep = [/lm_head$/, /layers\.0\.attn/];
    for (const calibration of [undefined, { sequences }]) {
      const folder = place("q");
      const made = await quantizeModel(source, folder, { keep, calibration, dtype: "bf16" });
      const kept = ["transformer.layers.0.attn.qkv_proj", "transformer.layers.0.attn.out_proj", "lm_head"];
      expect(made.kept).toEqual(kept);
      const { tensors } = readSafetensorsHeader(join(folder, "model.safetensors"));
      const dtypes = new Map(tensors.map(({ name, dtype }) => [name, dtype]));
      for (const name of kept) expect(dtypes.get(`${name}.weight`)).toBe("BF16");
      expect(dtypes.get("transformer.token_embeddings.weight")).toBe("U32");
      expect(dtypes.get("transformer.token_embeddings.scales")).toBe("BF16");
      const model = await OpenELM.load(folder);
      expect(model.classifier).not.toBeInstanceOf(QuantizedLinear);
      expect(model.layers[1]!.attn.qkvProj).toBeInstanceOf(QuantizedLinear);
    }
  });

  test("gives an output layer of its own back as codes, from a file that was quantized and from a model that was", async () => {
    const [folder, saved] = [place("q"), place("s")];
    await quantizeModel(await savedModel({ ...GROUPED, tied: false }), folder, { bits: 8, group: 32 });
    const model = await OpenELM.load(folder);
    expect(model.classifier).toBeInstanceOf(QuantizedLinear);
    await saveOpenELM(model, saved);
    expect((await OpenELM.load(saved)).classifier).toBeInstanceOf(QuantizedLinear);
  });

  test("with a calibration writes the codes that calibrate gives", async () => {
    const source = await savedModel(GROUPED);
    const folder = place("q");
    const phases = new Set<string>();
    await quantizeModel(source, folder, {
      calibration: { sequences },
      onProgress: ({ phase }) => phases.add(phase),
    });
    expect([...phases]).toEqual(["calibrate", "convert"]);
    const [written, made] = [await OpenELM.load(folder), await OpenELM.load(source)];
    await calibrate(made, { sequences });
    for (const [path, parameter] of made.namedParameters()) {
      expect(await written.parameter(path).value.bytes(), path).toEqual(await parameter.value.bytes());
    }
  });

  test("leaves layers whose rows are no whole groups", async () => {
    const made = await quantizeModel(golden("hf-tiny"), place("q"), { group: 32 });
    const json = JSON.parse(readFileSync(join(golden("hf-tiny"), "config.json"), "utf8")) as {
      model_dim: number;
    };
    expect(json.model_dim % 32 === 0 || made.kept.length > 0).toBe(true);
    expect(made.layers).toBeGreaterThan(0);
  });

  test("refuses what cannot be, and leaves no folder", async () => {
    const source = await savedModel(GROUPED);
    const once = place("q");
    await quantizeModel(source, once);
    await expect(quantizeModel(once, place("q"))).rejects.toThrow(/is quantized already/);
    await expect(quantizeModel(source, once)).rejects.toThrow(/exists and is not empty/);
    await expect(quantizeModel(source, source)).rejects.toThrow(UsageError);
    await expect(quantizeModel(source, place("q"), { bits: 9 })).rejects.toThrow(/2 to 8 bits/);
    await expect(quantizeModel(source, place("q"), { keep: [/./] })).rejects.toThrow(
      /no layer of .* would be/,
    );
    const pt = place("model.pt");
    await convertModel(source, pt, { to: "corenet" });
    await expect(quantizeModel(pt, place("q"), { calibration: { sequences } })).rejects.toThrow(/no folder/);
    writeFileSync(pt, "nothing");
    await expect(quantizeModel(pt, place("q"))).rejects.toThrow(/byte 0/);
  });
});
