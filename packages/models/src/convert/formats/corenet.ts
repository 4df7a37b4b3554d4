//! Checkpoints as CoreNet saves them with torch: an archive with a pickle of tensors and a record a storage.

import { dirname } from "node:path";
import type { FormatError } from "@openelm/native";
import { type OpenELMConfig, openelmConfig } from "../../openelm/config.js";
import { SourceFile } from "../files/source-file.js";
import { type ConfigHints, inferConfig } from "../infer-config.js";
import { unpickle } from "../pickle/unpickle.js";
import { type PickleValue, StoredTensor } from "../pickle/values.js";
import { shown } from "../shown.js";
import { fitted, type ModelSource } from "../source.js";
import { isNamedSize } from "../vocabulary/size.js";
import { FLOAT_SIZE, type FloatName, rowBytes, type Weight } from "../weight.js";
import { readZip, type ZipRecord } from "../zip/zip-reader.js";
import { companionsIn } from "./folder.js";

/** Options of {@link openCoreNet}. */
export interface CoreNetOptions {
  /** Which weights of a training checkpoint: those that were trained, or their moving average. Default `"model"`. */
  readonly state?: "model" | "ema" | undefined;
  /** The configuration, of which a file of tensors says little. Default: what follows from the tensors. */
  readonly config?: OpenELMConfig | undefined;
}

/** Storages of floats, by the names of torch. */
export const STORAGES: Readonly<Record<string, FloatName>> = {
  DoubleStorage: "f64",
  FloatStorage: "f32",
  BFloat16Storage: "bf16",
  HalfStorage: "f16",
};

/**
 * Opens a file of `torch.save`: a state dictionary, or a training checkpoint with one in it. Nothing in it is executed.
 *
 * @throws FileError if it cannot be read, FormatError naming file and byte if it is not such a file.
 */
export async function openCoreNet(
  path: string,
  { state = "model", config }: CoreNetOptions = {},
): Promise<ModelSource> {
  const file = await SourceFile.open(path);
  try {
    await checkMagic(file);
    const archive = new Archive(file, await readZip(file));
    await archive.checkByteOrder();
    const pickled = await archive.pickle();
    const weights = new Map<string, Weight>();
    for (const [name, tensor] of stateOf(pickled, state, file))
      weights.set(name, archive.weight(name, tensor));
    const own = config === undefined ? configFrom(path, weights) : sized(config, weights);
    return {
      format: "corenet",
      path,
      config: own,
      weights: fitted(path, own, weights),
      companions: await companionsIn(dirname(path)),
      close: () => file.close(),
    };
  } catch (error) {
    await file.close();
    throw error;
  }
}

async function checkMagic(file: SourceFile): Promise<void> {
  const [first, second] = await file.read(0, Math.min(2, file.size));
  if (first === 0x50 && second === 0x4b) return;
  const isOld = first === 0x80;
  throw file.bad(
    0,
    isOld
      ? "the file is of the form that torch wrote before 1.6; load it there and save it again"
      : "the file is not an archive of torch.save, and no GGUF file either",
  );
}

/** The records of an archive, whose names begin with a folder that may be called anything. */
class Archive {
  readonly #file: SourceFile;
  readonly #records: ReadonlyMap<string, ZipRecord>;
  readonly #folder: string;

  constructor(file: SourceFile, records: ReadonlyMap<string, ZipRecord>) {
    this.#file = file;
    this.#records = records;
    const pickle = [...records.keys()].find((name) => /^[^/]*\/data\.pkl$/.test(name));
    if (pickle === undefined)
      throw file.bad(0, "the archive has no data.pkl, so it is not one of torch.save");
    this.#folder = pickle.slice(0, -"data.pkl".length);
  }

  async checkByteOrder(): Promise<void> {
    const record = this.#records.get(`${this.#folder}byteorder`);
    if (record === undefined) return;
    const order = Buffer.from(await this.#file.read(record.start, Math.min(16, record.size))).toString();
    if (order !== "little")
      throw this.#file.bad(record.start, `the byte order is "${order}", only little is read`);
  }

  async pickle(): Promise<PickleValue> {
    const { start, size } = this.#records.get(`${this.#folder}data.pkl`)!;
    return unpickle(await this.#file.read(start, size), (at, what) => this.#file.bad(start + at, what));
  }

  weight(name: string, tensor: StoredTensor): Weight {
    const { storage, offset, shape, strides } = tensor;
    const record = this.#records.get(`${this.#folder}data/${storage.key}`);
    if (record === undefined) throw this.#file.bad(0, `${name}: the archive has no record "${storage.key}"`);
    const bad = (what: string): FormatError => this.#file.bad(record.start, `${name}: ${what}`);
    const dtype = Object.hasOwn(STORAGES, storage.type) ? STORAGES[storage.type] : undefined;
    if (dtype === undefined) throw bad(`it is a ${storage.type}; weights are floats`);
    const size = FLOAT_SIZE[dtype];
    if (storage.elements * size !== record.size) {
      throw bad(`${storage.elements} numbers of ${size} bytes are not the ${record.size} of its record`);
    }
    const elements = shape.reduce((product, length) => product * length, 1);
    if (!(offset + elements <= storage.elements)) throw bad("it reaches beyond its storage");
    if (!isRowMajor(shape, strides))
      throw bad("its rows do not lie one after another; save it as .contiguous()");
    const encoding = { kind: "plain", dtype } as const;
    const { data } = rowBytes(encoding, shape.at(-1) ?? 1);
    const begin = record.start + offset * size;
    return {
      name,
      shape,
      encoding,
      rows: async (start, end) => ({
        data: await this.#file.read(begin + start * data, (end - start) * data),
      }),
    };
  }
}

function isRowMajor(shape: readonly number[], strides: readonly number[]): boolean {
  let step = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    if (shape[axis] !== 1 && strides[axis] !== step) return false;
    step *= shape[axis]!;
  }
  return true;
}

/** Keys of the state dictionary in a training checkpoint. */
const STATE_KEYS = { model: ["model_state_dict", "model"], ema: ["ema_state_dict", "ema"] } as const;

/** The tensors by name: the dictionary itself, or the one in a training checkpoint. */
function stateOf(value: PickleValue, state: "model" | "ema", file: SourceFile): Map<string, StoredTensor> {
  if (!(value instanceof Map)) throw file.bad(0, "the pickle holds no dictionary");
  const inner = STATE_KEYS[state].map((key) => value.get(key)).find((found) => found instanceof Map);
  if (inner === undefined && state === "ema") {
    throw file.bad(0, `the file has no moving average; it has ${keysOf(value)}`);
  }
  const dictionary = inner instanceof Map ? inner : value;
  const tensors = new Map<string, StoredTensor>();
  for (const [key, entry] of dictionary) {
    if (typeof key !== "string" || !(entry instanceof StoredTensor)) continue;
    tensors.set(key.replace(/^(?:module|_orig_mod)\./, ""), entry);
  }
  if (tensors.size > 0) return tensors;
  throw file.bad(0, `the file has no tensors by name; it has ${keysOf(value)}`);
}

/** Keys of a dictionary, for a message. A key may be a list that holds itself. */
function keysOf(map: Map<PickleValue, PickleValue>): string {
  const keys = [...map.keys()].slice(0, 8);
  const texts = keys.map((key) => (typeof key === "string" ? key.slice(0, 40) : shown(key)));
  return texts.join(", ") || "nothing";
}

function configFrom(
  path: string,
  weights: ReadonlyMap<string, Weight>,
  hints: ConfigHints = {},
): OpenELMConfig {
  const shapes = new Map(Array.from(weights, ([name, { shape }]) => [name, shape]));
  const config = inferConfig(path, shapes, hints);
  const hasPadding = isNamedSize(config.vocabSize) && config.vocabSize > 32000;
  return hasPadding ? openelmConfig({ ...config, paddingIndex: 32000 }) : config;
}

/** A configuration with as many tokens as the tensors have, where both are sizes of OpenELM. */
function sized(config: OpenELMConfig, weights: ReadonlyMap<string, Weight>): OpenELMConfig {
  const rows = weights.get("token_embeddings.weight")?.shape[0] ?? 0;
  const isOther = rows !== config.vocabSize && isNamedSize(rows) && isNamedSize(config.vocabSize);
  return isOther ? openelmConfig({ ...config, vocabSize: rows }) : config;
}
