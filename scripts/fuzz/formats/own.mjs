// Our own files, which a disk or a person may have changed.
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { openShards, PackedLoader, prepare, Tokenizer } from "@openelm/data";
import { generate, HF_NAMES, loadPromptCache, PromptCache, savePromptCache } from "@openelm/models";
import { tensor } from "@openelm/tensor";
import { AdamW, CheckpointStore, modelFiles } from "@openelm/train";
import { mutateBytes } from "../mutate/bytes.mjs";
import { mutateJson } from "../mutate/json.mjs";
import { mutateSafetensors } from "../mutate/safetensors.mjs";
import { changed, filesIn, tinyModel, unlessRefused } from "./models.mjs";

/** @typedef {import("../inputs.mjs").Files} Files */
/** @typedef {import("../inputs.mjs").Format} Format */
/** @typedef {import("@openelm/tensor").Tensor} Tensor */

/** Where a loader stood, as a checkpoint has it. */
const STATE = "loader.json";

/** A state in a file; undefined for what is no JSON, which the checkpoint around it would not be either. @param {string} file @returns {unknown} */
export function stateIn(file) {
  try {
    return JSON.parse(readFileSync(file, "utf8"));
  } catch {
    return undefined;
  }
}

/** @param {import("@openelm/data").Shards} corpus */
const packed = (corpus) =>
  new PackedLoader(corpus, { sequenceLength: 8, batchSize: 2, epochs: 2, prefetch: 1 });

/** @type {Format} */
export const shards = {
  about: "a corpus in shards: manifest, tokens and index",
  async samples(folder) {
    const texts = Array.from({ length: 12 }, (_, i) => `the ocean number ${i} and the sea ${"a".repeat(i)}`);
    const tokenizer = await Tokenizer.train(texts.values(), { vocabSize: 300, minFrequency: 0 });
    const input = path.join(folder, "text.txt");
    writeFileSync(input, texts.join("\n"));
    const output = path.join(folder, "corpus");
    await prepare({ inputs: input, output, tokenizer, validationFraction: 0.2, shardTokens: 60 });
    const batches = packed(await openShards(output));
    for (let i = 0; i < 3; i++) await batches.next();
    writeFileSync(path.join(output, STATE), JSON.stringify(batches.state));
    return [filesIn(output)];
  },
  mutate(random, files) {
    const name = random.once(2) ? random.pick(["manifest.json", STATE]) : random.pick([...files.keys()]);
    return changed(files, name, (bytes) =>
      name.endsWith(".json") ? mutateJson(random, bytes) : mutateBytes(random, bytes),
    );
  },
  async read(folder, thorough) {
    const corpus = await openShards(folder, { verify: thorough });
    for (let i = 0; i < Math.min(corpus.documents, 20); i++) await corpus.document(i);
    if (thorough) await corpus.tokenizer();
    const batches = packed(corpus);
    for (let i = 0; i < 4; i++) if ((await batches.next()) === undefined) break;
    const state = stateIn(path.join(folder, STATE));
    if (state === undefined) return;
    await batches.restore(/** @type {import("@openelm/data").PackedState} */ (state));
    await batches.next();
  },
};

/** @type {import("@openelm/models").OpenELM | undefined} */
let MODEL;

const model = () => {
  MODEL ??= tinyModel();
  return MODEL;
};

/** Tokens as text that nobody reads. @type {import("@openelm/models").Tokenizer} */
const tokenizer = {
  encode: async () => new Int32Array(0),
  decode: async () => "",
  stream: () => ({ push: () => "", end: () => "" }),
};

/** @param {PromptCache} cache @param {number[]} ids @param {number} maxTokens */
const goOn = (cache, ids, maxTokens) =>
  generate(model(), ids, { tokenizer, promptCache: cache, maxTokens, stopIds: [], addBos: false }).result();

/** @type {Format} */
export const promptCache = {
  about: "prompt caches: safetensors with keys, values and tokens",
  async samples(folder) {
    const cache = PromptCache.empty(model());
    await goOn(cache, [1, 2, 3, 4], 2);
    await savePromptCache(path.join(folder, "cache.safetensors"), cache, model());
    cache.dispose();
    return [filesIn(folder)];
  },
  mutate: (random, files) => changed(files, "cache.safetensors", (bytes) => mutateSafetensors(random, bytes)),
  async read(folder) {
    const cache = await loadPromptCache(path.join(folder, "cache.safetensors"), model());
    try {
      // What was accepted can be gone on from, unless its numbers are none, of which the model tells.
      await unlessRefused(["KERNEL_FAILED"], goOn(cache, [1, 2, 3, 4, 5], 1));
    } finally {
      cache.dispose();
    }
  },
};

const CHECKPOINT = "step-00000003";

/** @param {string} folder */
const store = (folder) => new CheckpointStore(folder, modelFiles(model(), { names: HF_NAMES }));

/** @param {ReadonlyMap<string, Tensor>} tensors */
const disposeAll = (tensors) => {
  for (const tensor of tensors.values()) tensor.dispose();
};

/** Sizes and hashes in `state.json` as they are of the files, without which nothing else of them would be read. @param {Files} files */
function withHashes(files) {
  return changed(files, `${CHECKPOINT}/state.json`, (bytes) => {
    const state = JSON.parse(Buffer.from(bytes).toString("utf8"));
    for (const name of Object.keys(state.files)) {
      const content = files.get(`${CHECKPOINT}/${name}`) ?? new Uint8Array(0);
      state.files[name] = {
        bytes: content.length,
        sha256: createHash("sha256").update(content).digest("hex"),
      };
    }
    return new Uint8Array(Buffer.from(JSON.stringify(state)));
  });
}

/** @type {Format} */
export const checkpoint = {
  about: "checkpoints of training: state.json, latest.json, weights and the optimizer's state",
  async samples(folder) {
    const weights = new Map(Array.from(model().namedParameters(), ([name, { value }]) => [name, value]));
    const optimizer = new Map(
      [...weights].flatMap(([name, value]) => ["m.", "v."].map((slot) => [`${slot}${name}`, value])),
    );
    const state = {
      step: 3,
      tokens: 99,
      elapsed: 1.5,
      skips: 0,
      loader: { epoch: 0 },
      generators: { default: { seed: 1, counter: 2 } },
      lr: 1e-3,
    };
    optimizer.set("step", tensor(3));
    await store(folder).save({ weights, optimizer, state }, { keepLast: 1, keepBest: 0 });
    return [filesIn(folder)];
  },
  mutate(random, files) {
    if (random.once(4)) {
      const name = random.once(4) ? "latest.json" : `${CHECKPOINT}/state.json`;
      return changed(files, name, (bytes) => mutateJson(random, bytes));
    }
    const name = `${CHECKPOINT}/${random.pick(["model", "optimizer"])}.safetensors`;
    return withHashes(changed(files, name, (bytes) => mutateSafetensors(random, bytes)));
  },
  async read(folder) {
    const checkpoints = store(folder);
    const found = await checkpoints.find();
    if (found === undefined) return;
    const { weights, optimizer } = await checkpoints.load(found);
    disposeAll(weights);
    try {
      const fresh = new AdamW(model(), { lr: 1e-3 });
      fresh.load(optimizer);
      disposeAll(fresh.state());
    } finally {
      disposeAll(optimizer);
    }
  },
};
