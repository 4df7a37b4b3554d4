//! A model, batches and a tokenizer that are small enough for tests.
import { Generator, randint, type Tensor, withDefaults } from "@openelm/tensor";
import { OpenELM, type OpenELMOptions, type Tokenizer } from "../src/index.js";

export const TINY: OpenELMOptions = {
  vocabSize: 29,
  layers: 3,
  modelDim: 24,
  headDim: 8,
  headsPerKvHead: 2,
  attention: [0.7, 1.4],
  feedForward: [1, 3],
  feedForwardDivisor: 8,
  maxContextLength: 64,
};

export const tinyModel = (changes: Partial<OpenELMOptions> = {}, seed = 1): OpenELM =>
  withDefaults({ seed }, () => new OpenELM({ ...TINY, ...changes }));

export const randomIds = (shape: readonly number[], seed = 3): Tensor =>
  randint(shape, 0, TINY.vocabSize, { generator: new Generator(seed) });

/** Token `i` is the letter number `i`; 26 and above are two bytes of one character each, `é` being 26 then 27. */
export const letters: Tokenizer = {
  encode: (text) =>
    Promise.resolve(Int32Array.from([...text].flatMap((c) => (c === "é" ? [26, 27] : c.charCodeAt(0) - 97)))),
  decode: (ids) => Promise.resolve(spell(ids)),
  stream: () => {
    let held = false;
    return {
      push: (id) => {
        const text = held && id === 27 ? "é" : (held ? "\uFFFD" : "") + (id === 26 ? "" : spell([id]));
        held = id === 26;
        return text;
      },
      end: () => (held ? "\uFFFD" : ""),
    };
  },
};

const spell = (ids: ArrayLike<number>): string =>
  Array.from(ids, (id) => (id < 26 ? String.fromCharCode(97 + id) : "\uFFFD")).join("");
