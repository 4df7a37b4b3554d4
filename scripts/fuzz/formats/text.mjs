// Tokenizers and chat templates.
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { Tokenizer } from "@openelm/data";
import { ChatTemplate, convertModel, saveOpenELM } from "@openelm/models";
import { mutateJson } from "../mutate/json.mjs";
import { mutateProtobuf } from "../mutate/protobuf.mjs";
import { mutateTemplate } from "../mutate/text.mjs";
import { changed, filesIn, tinyModel, unlessRefused } from "./models.mjs";
import { NESTED, smallPieces } from "./pieces.mjs";

/** @typedef {import("../inputs.mjs").Files} Files */
/** @typedef {import("../inputs.mjs").Format} Format */

const TEXTS = [
  "",
  "the ocean  and\n the sea é \u{1f30a}",
  "<s>the</s> 12345 \u0000\u2581\u2581x",
  "a".repeat(300),
];

/** Splits texts, and puts what came of them together again. @param {string} file */
async function useTokenizer(file) {
  const tokenizer = await Tokenizer.load(file);
  const batch = await tokenizer.encodeBatch(TEXTS, { parseSpecial: true });
  for (const ids of [...batch, Int32Array.from([0, tokenizer.vocabSize - 1])]) {
    await tokenizer.decode(ids);
    const stream = tokenizer.stream();
    for (const id of ids) stream.push(id);
    stream.end();
  }
}

/** Takes the tokenizer into a GGUF file, for which it is read in another way. @param {string} file @param {string} folder */
async function intoGguf(file, folder) {
  const model = `${folder}-model`;
  if (!existsSync(path.join(model, "config.json"))) await saveOpenELM(tinyModel({ vocabSize: 2048 }), model);
  await convertModel(model, `${folder}.gguf`, { to: "gguf", tokenizer: file, replace: true });
}

/** What GGUF has no counterpart for is refused, also of tokenizers that are right. */
const GGUF_LACKS = ["FORMAT"];

/** Kinds of `tokenizer.json` beside the one that ours trains. */
const OTHERS = [
  {
    version: "1.0",
    truncation: { max_length: 4, strategy: "LongestFirst", stride: 0, direction: "Right" },
    padding: {
      strategy: { Fixed: 8 },
      direction: "Right",
      pad_to_multiple_of: 8,
      pad_id: 0,
      pad_type_id: 0,
      pad_token: "a",
    },
    added_tokens: [
      {
        id: 9,
        content: "<s>",
        single_word: false,
        lstrip: false,
        rstrip: true,
        normalized: false,
        special: true,
      },
      {
        id: 10,
        content: "the",
        single_word: true,
        lstrip: true,
        rstrip: false,
        normalized: true,
        special: false,
      },
    ],
    normalizer: {
      type: "Sequence",
      normalizers: [
        { type: "Prepend", prepend: "▁" },
        { type: "Replace", pattern: { String: " " }, content: "▁" },
        { type: "NFKC" },
        { type: "Strip", strip_left: true, strip_right: true },
      ],
    },
    pre_tokenizer: {
      type: "Sequence",
      pretokenizers: [
        { type: "Split", pattern: { Regex: "\\p{N}|[^\\s]+(?!x)" }, behavior: "Isolated", invert: false },
        { type: "Metaspace", replacement: "▁", prepend_scheme: "first", split: true },
        { type: "Digits", individual_digits: true },
      ],
    },
    post_processor: {
      type: "TemplateProcessing",
      single: [{ SpecialToken: { id: "<s>", type_id: 0 } }, { Sequence: { id: "A", type_id: 0 } }],
      pair: [{ Sequence: { id: "A", type_id: 0 } }, { Sequence: { id: "B", type_id: 1 } }],
      special_tokens: { "<s>": { id: "<s>", ids: [9], tokens: ["<s>"] } },
    },
    decoder: {
      type: "Sequence",
      decoders: [
        { type: "Replace", pattern: { String: "▁" }, content: " " },
        { type: "ByteFallback" },
        { type: "Fuse" },
        { type: "Strip", content: " ", start: 1, stop: 0 },
      ],
    },
    model: {
      type: "BPE",
      dropout: null,
      unk_token: "u",
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: true,
      byte_fallback: true,
      ignore_merges: false,
      vocab: { u: 0, t: 1, h: 2, e: 3, th: 4, the: 5, "▁": 6, "<0x41>": 7, a: 8 },
      merges: ["t h", "th e"],
    },
  },
  {
    version: "1.0",
    added_tokens: [],
    normalizer: {
      type: "BertNormalizer",
      clean_text: true,
      handle_chinese_chars: true,
      strip_accents: null,
      lowercase: true,
    },
    pre_tokenizer: { type: "BertPreTokenizer" },
    post_processor: { type: "BertProcessing", sep: ["b", 1], cls: ["a", 0] },
    decoder: { type: "WordPiece", prefix: "##", cleanup: true },
    model: {
      type: "WordPiece",
      unk_token: "a",
      continuing_subword_prefix: "##",
      max_input_chars_per_word: 100,
      vocab: { a: 0, b: 1, the: 2, "##n": 3, "##d": 4 },
    },
  },
  {
    version: "1.0",
    added_tokens: [],
    normalizer: null,
    pre_tokenizer: { type: "Metaspace", replacement: "▁", prepend_scheme: "always", split: false },
    post_processor: null,
    decoder: { type: "Metaspace", replacement: "▁", prepend_scheme: "always", split: false },
    model: {
      type: "Unigram",
      unk_id: 0,
      vocab: [
        ["<unk>", 0],
        ["▁the", -1],
        ["a", -2.5],
        ["e", -3],
        ["▁", -4],
      ],
      byte_fallback: false,
    },
  },
];

/** @type {Format} */
export const tokenizerJson = {
  about: "tokenizer.json of Hugging Face's tokenizers",
  async samples(folder) {
    const texts = ["the ocean and the sea", "the other one", "a stone on the shore 123"].values();
    const trained = await Tokenizer.train(texts, { vocabSize: 290, minFrequency: 0 });
    await trained.save(folder);
    const others = OTHERS.map(
      (json) => new Map([["tokenizer.json", new Uint8Array(Buffer.from(JSON.stringify(json)))]]),
    );
    return [filesIn(folder), ...others];
  },
  mutate(random, files) {
    const name =
      random.once(12) && files.has("tokenizer_config.json") ? "tokenizer_config.json" : "tokenizer.json";
    return changed(files, name, (bytes) => mutateJson(random, bytes));
  },
  async read(folder, thorough) {
    const file = path.join(folder, "tokenizer.json");
    await useTokenizer(file);
    if (thorough) await unlessRefused(GGUF_LACKS, intoGguf(file, folder));
  },
};

const FIXTURES = fileURLToPath(new URL("../../../native/crates/elm-text/tests/fixtures", import.meta.url));

/** @type {Format} */
export const sentencePiece = {
  about: "tokenizer.model of SentencePiece",
  async samples() {
    const fixtures = ["bpe-plain", "unigram", "unigram-bytes"].map(
      (name) => new Uint8Array(readFileSync(path.join(FIXTURES, `${name}.model`))),
    );
    return [...fixtures, smallPieces()].map((bytes) => new Map([["tokenizer.model", bytes]]));
  },
  mutate: (random, files) =>
    changed(files, "tokenizer.model", (bytes) => mutateProtobuf(random, bytes, NESTED)),
  async read(folder, thorough) {
    const file = path.join(folder, "tokenizer.model");
    await useTokenizer(file);
    if (thorough) await unlessRefused(GGUF_LACKS, intoGguf(file, folder));
  },
};

const TEMPLATES = [
  `{% for message in messages %}{% if message['role'] == 'user' %}{{ '[INST] ' + message['content'] + ' [/INST]' }}{% else %}{{ message['content'] + eos_token }}{% endif %}{% endfor %}`,
  `{{- bos_token }}{%- set ns = namespace(n=0) -%}{%- for m in messages if m.role != 'system' -%}{%- set ns.n = ns.n + 1 -%}
<|{{ m.role | upper }}|>{{ m.content | trim | replace('a', 'b') }}{{ m | tojson }}{%- if not loop.last %}, {% endif -%}{%- endfor -%}
{%- macro turn(x, y='z') -%}{{ x ~ y }}{%- endmacro -%}{{ turn(messages[0].content[:3]) }}{% if add_generation_prompt %}<|a|>{% endif %}`,
];

/** @type {Format} */
export const chatTemplate = {
  about: "chat templates: tokenizer_config.json and Jinja",
  async samples(folder) {
    return TEMPLATES.map((source, i) => {
      const config = {
        bos_token: "<s>",
        eos_token: { content: "</s>" },
        chat_template: i === 0 ? source : [{ name: "default", template: source }],
      };
      writeFileSync(path.join(folder, "tokenizer_config.json"), JSON.stringify(config));
      const files = filesIn(folder);
      return i === 0 ? files : new Map(files).set("chat_template.jinja", new Uint8Array(Buffer.from(source)));
    });
  },
  mutate(random, files) {
    if (!files.has("chat_template.jinja") || random.once(4)) {
      const broken = changed(files, "tokenizer_config.json", (bytes) => mutateJson(random, bytes));
      const first = TEMPLATE_BYTES[random.below(TEMPLATE_BYTES.length)];
      return random.once(2)
        ? broken
        : new Map(files).set("chat_template.jinja", mutateTemplate(random, first));
    }
    return changed(files, "chat_template.jinja", (bytes) => mutateTemplate(random, bytes));
  },
  async read(folder) {
    const template = await ChatTemplate.load(folder, { bos: "<s>", eos: "</s>" });
    template.render([
      { role: "system", content: "Be short." },
      { role: "user", content: "the ocean and the sea" },
      { role: "assistant", content: "a b\nc" },
      { role: "user", content: "" },
    ]);
  },
};

const TEMPLATE_BYTES = TEMPLATES.map((source) => new Uint8Array(Buffer.from(source)));
