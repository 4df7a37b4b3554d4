// Models with random weights, and what ours makes of them.
import { copyFile, readFile } from "node:fs/promises";
import path from "node:path";
import { Tokenizer } from "@openelm/data";
import { OpenELM, openelmConfig, saveOpenELM } from "@openelm/models";
import { loadSafetensors, saveSafetensors, tensor, withDefaults } from "@openelm/tensor";
import { ROOT } from "../lib/run.mjs";

const GOLDENS = path.join(ROOT, "packages/testing/goldens");

/** Small, with rows that are whole groups of 64, and heads and widths that grow. */
export const SMALL = openelmConfig({
  vocabSize: 1024,
  layers: 3,
  modelDim: 128,
  headDim: 32,
  headsPerKvHead: 2,
  attention: [0.5, 1.5],
  feedForward: [0.5, 2],
  feedForwardDivisor: 64,
});

/** Strings that tokenizers stumble over. @returns {Promise<string[]>} */
export const strings = async () =>
  JSON.parse(await readFile(path.join(GOLDENS, "tokenizer-strings.json"), "utf8"));

/** A model with weights of its initialization, saved, without a tokenizer. @param {string} folder @param {import("@openelm/models").OpenELMConfig} config */
export async function saveModel(folder, config) {
  const model = withDefaults({ seed: 7 }, () => new OpenELM(config));
  model.initialize();
  await saveOpenELM(model, folder);
  return folder;
}

/** A model with a SentencePiece tokenizer, whose tokens are fewer. @param {string} folder @param {import("@openelm/models").OpenELMConfig} [config] */
export async function savePieces(folder, config = SMALL) {
  await saveModel(folder, config);
  await copyFile(path.join(GOLDENS, "tiny-sp.model"), path.join(folder, "tokenizer.model"));
  return folder;
}

/** The small model with a byte-level tokenizer, trained on the strings. @param {string} folder */
export async function saveBytes(folder) {
  // A list of strings would be one of paths.
  const text = (await strings()).values();
  const tokenizer = await Tokenizer.train(text, { vocabSize: 512, minFrequency: 0 });
  await saveModel(folder, openelmConfig(SMALL, { vocabSize: tokenizer.vocabSize, bosId: 0, eosId: 1 }));
  await tokenizer.save(folder);
  return folder;
}

/** The configuration as PyTorch's reference takes it, in JSON. @param {import("@openelm/models").OpenELMConfig} config */
export const referenceConfig = ({ vocabSize, layers, modelDim, headDim, layerShapes }) =>
  JSON.stringify({
    vocab_size: vocabSize,
    layers,
    model_dim: modelDim,
    head_dim: headDim,
    shapes: layerShapes.map((s) => [s.queryHeads, s.kvHeads, s.feedForwardDim]),
  });

/** Ids of a batch, the same in every run. @param {number} vocabSize @param {[number, number]} shape */
export function batch(vocabSize, [rows, time]) {
  const ids = Int32Array.from({ length: rows * time }, (_, i) => (i * 7919 + 13) % vocabSize);
  return tensor(ids, { shape: [rows, time] });
}

/** Ids in a file that other programs read. @param {string} file @param {import("@openelm/tensor").Tensor} ids */
export async function saveIds(file, ids) {
  await saveSafetensors(file, { ids });
  return file;
}

/** Our logits of a model's folder. @param {string} folder @param {import("@openelm/tensor").Tensor} ids */
export async function logits(folder, ids) {
  const model = (await OpenELM.load(folder)).eval();
  return /** @type {Float32Array} */ (await model.forward(ids).to("f32").data());
}

/** A tensor that another program wrote. @param {string} file @param {string} name */
export async function read(file, name) {
  const tensors = await loadSafetensors(file, { mmap: false });
  const found = tensors.get(name);
  if (found === undefined) throw new Error(`${file} has no ${name}`);
  const data = /** @type {Float32Array} */ (await found.to("f32").data());
  tensors.dispose();
  return data;
}
