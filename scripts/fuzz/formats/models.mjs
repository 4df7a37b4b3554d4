// Files with models: those of Hugging Face, MLX, CoreNet and GGUF.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import {
  convertAdapter,
  convertModel,
  loadAdapter,
  OpenELM,
  openModel,
  readConfig,
  saveAdapter,
  saveOpenELM,
} from "@openelm/models";
import { LoRA } from "@openelm/nn";
import { isOpenELMError, loadSafetensors, saveSafetensors, tensor, withDefaults } from "@openelm/tensor";
import { ggufBytes, ggufParts, mutateGguf, sized } from "../mutate/gguf.mjs";
import { mutateJson } from "../mutate/json.mjs";
import { perSample } from "../mutate/per-sample.mjs";
import { mutateArchive, storedFiles } from "../mutate/pickle.mjs";
import { mutateSafetensors } from "../mutate/safetensors.mjs";
import { smallPieces } from "./pieces.mjs";

/** @typedef {import("../inputs.mjs").Files} Files */
/** @typedef {import("../inputs.mjs").Format} Format */
/** @typedef {import("../random.mjs").Random} Random */

/** As small as a model in groups and blocks can be. */
export const TINY = {
  vocabSize: 32,
  layers: 1,
  modelDim: 32,
  headDim: 16,
  headsPerKvHead: 2,
  attention: 1,
  feedForward: 1,
  feedForwardDivisor: 32,
  maxContextLength: 64,
};

/** The model that files are made of. @param {Partial<import("@openelm/models").OpenELMOptions>} [changes] */
export function tinyModel(changes = {}) {
  const model = withDefaults({ seed: 1 }, () => new OpenELM({ ...TINY, ...changes }));
  model.initialize();
  return model;
}

/** All files below a folder. @param {string} folder @returns {Files} */
export function filesIn(folder) {
  const names = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) =>
    entry.isFile(),
  );
  return new Map(
    names.map((entry) => {
      const file = path.join(entry.parentPath, entry.name);
      return [path.relative(folder, file).replaceAll("\\", "/"), new Uint8Array(readFileSync(file))];
    }),
  );
}

/** The same files, one of them changed. @param {Files} files @param {string} name @param {(bytes: Uint8Array) => Uint8Array} change */
export function changed(files, name, change) {
  const bytes = files.get(name);
  return bytes === undefined ? files : new Map(files).set(name, change(bytes));
}

/** @param {string} folder @param {Partial<import("@openelm/models").OpenELMOptions>} [changes] */
async function hfFolder(folder, changes) {
  await saveOpenELM(tinyModel(changes), folder);
  return folder;
}

/** Waits for work that may be refused though nothing is wrong with what was read. @param {readonly string[]} codes @param {Promise<unknown>} work */
export async function unlessRefused(codes, work) {
  await work.catch((error) => {
    if (!(isOpenELMError(error) && codes.includes(error.code))) throw error;
  });
}

/** Opens a model and reads all of its numbers, as a conversion does. @param {string} place */
async function readModel(place) {
  const source = await openModel(place);
  try {
    for (const weight of source.weights.values()) {
      await weight.rows(0, weight.shape.length < 2 ? 1 : (weight.shape[0] ?? 1));
    }
  } finally {
    await source.close();
  }
}

/** @param {string} folder */
async function loadModel(folder) {
  const model = await OpenELM.load(folder);
  for (const parameter of model.parameters()) parameter.value.dispose();
}

/** What is made of a model in other forms, where it could be opened. @param {string} place */
async function convertAll(place) {
  for (const [to, name] of /** @type {const} */ ([
    ["hf", "converted-hf"],
    ["gguf", "converted.gguf"],
    ["mlx", "converted-mlx"],
  ])) {
    await convertModel(place, path.join(path.dirname(place), `${path.basename(place)}-${name}`), {
      to,
      replace: true,
    });
  }
}

/** @type {Format} */
export const safetensors = {
  about: "files of tensors: length, JSON header, data",
  async samples(folder) {
    await saveSafetensors(
      path.join(folder, "x.safetensors"),
      {
        a: tensor([[1, 2, 3]]),
        b: tensor([1, 2], { dtype: "bf16" }),
        "c.d": tensor(Int32Array.from([1, 2, 3, 4]), { shape: [2, 2] }),
        e: tensor([true, false]),
        f: tensor(new Float32Array(0), { shape: [0, 4] }),
      },
      { metadata: { format: "pt", note: "é" } },
    );
    return [filesIn(folder)];
  },
  mutate: (random, files) => changed(files, "x.safetensors", (bytes) => mutateSafetensors(random, bytes)),
  async read(folder, thorough) {
    for (const mmap of thorough ? [true, false] : [true]) {
      const tensors = await loadSafetensors(path.join(folder, "x.safetensors"), { mmap });
      try {
        for (const value of tensors.values()) await value.bytes();
      } finally {
        tensors.dispose();
      }
    }
  },
};

/** The tensors of a folder in two files with an index. @param {string} folder */
async function inTwoFiles(folder) {
  const whole = path.join(folder, "model.safetensors");
  const tensors = await loadSafetensors(whole, { mmap: false });
  const names = [...tensors.keys()];
  /** @type {Record<string, string>} */
  const map = {};
  /** @type {Files} */
  const files = new Map();
  for (const [i, half] of [names.slice(0, 4), names.slice(4)].entries()) {
    const name = `model-0000${i + 1}-of-00002.safetensors`;
    const file = path.join(folder, name);
    await saveSafetensors(file, new Map(half.map((key) => [key, tensors.get(key) ?? tensor(0)])), {
      metadata: { format: "pt" },
    });
    for (const key of half) map[key] = name;
    files.set(name, new Uint8Array(readFileSync(file)));
  }
  tensors.dispose();
  const index = { metadata: { total_size: 1 }, weight_map: map };
  files.set("model.safetensors.index.json", new Uint8Array(Buffer.from(JSON.stringify(index))));
  files.set("config.json", new Uint8Array(readFileSync(path.join(folder, "config.json"))));
  return files;
}

/** @type {Format} */
export const sharded = {
  about: "a model in several safetensors files with an index",
  samples: async (folder) => [await inTwoFiles(await hfFolder(folder))],
  mutate(random, files) {
    if (random.once(2))
      return changed(files, "model.safetensors.index.json", (bytes) => mutateJson(random, bytes));
    const name = random.pick([...files.keys()].filter((key) => key.endsWith(".safetensors")));
    return changed(files, name, (bytes) => mutateSafetensors(random, bytes));
  },
  async read(folder, thorough) {
    await readModel(folder);
    if (thorough) await loadModel(folder);
  },
};

/** @type {Format} */
export const hfConfig = {
  about: "config.json of the Hugging Face port",
  async samples(folder) {
    await hfFolder(path.join(folder, "a"));
    await hfFolder(path.join(folder, "b"), { headDim: 8, layers: 2 });
    return [filesIn(path.join(folder, "a")), filesIn(path.join(folder, "b"))];
  },
  mutate: (random, files) => changed(files, "config.json", (bytes) => mutateJson(random, bytes)),
  async read(folder, thorough) {
    await readConfig(folder);
    await readModel(folder);
    if (thorough) {
      await loadModel(folder);
      await convertAll(folder);
    }
  },
};

/** @type {Format} */
export const corenet = {
  about: "checkpoints of CoreNet: an archive with a pickle",
  async samples(folder) {
    const hf = await hfFolder(path.join(folder, "hf"));
    const files = [];
    for (const dtype of /** @type {const} */ (["f32", "bf16"])) {
      const file = path.join(folder, `${dtype}.pt`);
      await convertModel(hf, file, { to: "corenet", dtype });
      files.push(new Map([["model.pt", new Uint8Array(readFileSync(file))]]));
    }
    return files;
  },
  mutate: (random, files) =>
    changed(files, "model.pt", (bytes) => {
      return mutateArchive(random, bytes, storedIn(bytes));
    }),
  async read(folder, thorough) {
    const file = path.join(folder, "model.pt");
    await readModel(file);
    if (thorough) await convertAll(file);
  },
};

const storedIn = perSample(storedFiles);

/** @type {Format} */
export const mlx = {
  about: "folders of MLX with codes, scales and biases",
  async samples(folder) {
    const hf = await hfFolder(path.join(folder, "hf"));
    const made = [];
    for (const bits of [3, 4, 8]) {
      const name = path.join(folder, `mlx-${bits}`);
      await convertModel(hf, name, { to: "mlx", quantize: { bits, group: 32 } });
      made.push(filesIn(name));
    }
    return made;
  },
  mutate(random, files) {
    const both = random.once(4);
    let out = files;
    if (both || random.once(2)) out = changed(out, "config.json", (bytes) => mutateJson(random, bytes));
    if (both || out === files)
      out = changed(out, "model.safetensors", (bytes) => mutateSafetensors(random, bytes));
    if (random.once(8)) out = changed(out, "conversion.json", (bytes) => mutateJson(random, bytes));
    return out;
  },
  async read(folder, thorough) {
    await readModel(folder);
    if (thorough) {
      await loadModel(folder);
      await convertAll(folder);
    }
  },
};

/** Encodings that are read and not written: plain numbers of 64 bits, and blocks of 256 numbers in rows that have them. @param {Uint8Array} bytes */
function inReadEncodings(bytes) {
  const { values, tensors } = ggufParts(bytes);
  const others = tensors.map((tensor) => {
    if (tensor.sizes.length === 1) return sized({ ...tensor, type: 28, bytes: F64_ONE });
    return tensor.sizes[0] % 256n === 0n ? sized({ ...tensor, type: 12, bytes: SMALL_CODES }) : tensor;
  });
  return ggufBytes({ values, tensors: others });
}

const F64_ONE = new Uint8Array(Float64Array.of(1).buffer);
/** A block of Q4_K: two f16 of 2⁻⁶, scales, codes. */
const SMALL_CODES = Uint8Array.from({ length: 144 }, (_, i) => (i < 4 ? 0x24 * (i % 2) : (i * 37) & 255));

/** @type {Format} */
export const gguf = {
  about: "files of llama.cpp",
  async samples(folder) {
    const hf = await hfFolder(path.join(folder, "hf"));
    const pieces = path.join(folder, "tokenizer.model");
    writeFileSync(pieces, smallPieces());
    const made = [];
    for (const encoding of /** @type {const} */ (["f32", "bf16", "f16", "q8_0", "q4_0"])) {
      const file = path.join(folder, `${encoding}.gguf`);
      await convertModel(hf, file, {
        to: "gguf",
        encoding,
        tokenizer: encoding === "f32" ? undefined : pieces,
      });
      made.push(new Map([["model.gguf", new Uint8Array(readFileSync(file))]]));
    }
    const wide = await hfFolder(path.join(folder, "wide"), {
      modelDim: 256,
      attention: 0.125,
      feedForward: 0.125,
    });
    const file = path.join(folder, "wide.gguf");
    await convertModel(wide, file, { to: "gguf", encoding: "q8_0" });
    made.push(new Map([["model.gguf", inReadEncodings(new Uint8Array(readFileSync(file)))]]));
    return made;
  },
  mutate: (random, files) => changed(files, "model.gguf", (bytes) => mutateGguf(random, bytes)),
  async read(folder, thorough) {
    const file = path.join(folder, "model.gguf");
    await readModel(file);
    if (thorough) await convertAll(file);
  },
};

/** Adapters of each kind that the two programs have. @type {readonly (readonly [format: "peft" | "mlx", options: import("@openelm/nn").LoRAOptions])[]} */
const ADAPTERS = [
  ["peft", {}],
  ["peft", { dora: true, targets: /attn/ }],
  [
    "peft",
    { rankStabilized: true, layer: (name) => (name.includes("ffn") ? { rank: 2, alpha: 3 } : undefined) },
  ],
  ["mlx", {}],
  ["mlx", { dora: true }],
];

/** The model that adapters are put into. @type {OpenELM | undefined} */
let ADAPTED;

/** @type {Format} */
export const adapter = {
  about: "adapters of PEFT and of mlx-lm",
  async samples(folder) {
    const made = [];
    for (const [i, [format, options]] of ADAPTERS.entries()) {
      const model = tinyModel();
      const lora = new LoRA({ rank: 4, alpha: 6, ...options });
      model.apply(lora);
      const place = path.join(folder, `${format}-${i}`);
      await saveAdapter(model, lora, place, { format });
      made.push(filesIn(place));
    }
    return made;
  },
  mutate(random, files) {
    let out = files;
    if (random.once(2)) out = changed(out, "adapter_config.json", (bytes) => mutateJson(random, bytes));
    const weights = [...files.keys()].find((name) => name.endsWith(".safetensors")) ?? "";
    if (out === files || random.once(4))
      out = changed(out, weights, (bytes) => mutateSafetensors(random, bytes));
    return out;
  },
  async read(folder, thorough) {
    ADAPTED ??= tinyModel();
    const lora = await loadAdapter(ADAPTED, folder);
    lora.remove();
    if (!thorough) return;
    const { config } = ADAPTED;
    await convertAdapter(folder, `${folder}-peft`, { to: "peft", replace: true });
    // Of ranks and layers it has not all.
    await unlessRefused(
      ["USAGE"],
      convertAdapter(folder, `${folder}-mlx`, { to: "mlx", config, replace: true }),
    );
  },
};
