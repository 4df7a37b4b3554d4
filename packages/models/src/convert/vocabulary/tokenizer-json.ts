//! `tokenizer.json` of Hugging Face's tokenizers, as far as llama.cpp can do what it says.
import { FormatError } from "@openelm/native";
import { type GgufVocabulary, TOKEN_TYPES } from "./gguf-vocabulary.js";

interface Json {
  readonly added_tokens?: readonly {
    readonly id: number;
    readonly content: string;
    readonly special?: boolean;
  }[];
  readonly normalizer?: unknown;
  readonly pre_tokenizer?: Stage | null;
  readonly decoder?: unknown;
  readonly model?: {
    readonly type?: string;
    readonly vocab?: Readonly<Record<string, number>>;
    readonly merges?: readonly (string | readonly [string, string])[];
    readonly byte_fallback?: boolean;
  };
}

interface Stage {
  readonly type: string;
  readonly individual_digits?: boolean;
  readonly add_prefix_space?: boolean;
  readonly use_regex?: boolean;
  readonly prepend_scheme?: string;
  readonly pretokenizers?: readonly Stage[];
}

/** Tokens of a `tokenizer_config.json`. */
export interface NamedTokens {
  readonly bos?: string | undefined;
  readonly eos?: string | undefined;
  readonly unknown?: string | undefined;
  readonly pad?: string | undefined;
  readonly chatTemplate?: string | undefined;
}

/**
 * The vocabulary of a `tokenizer.json` of the BPE kind: byte-level, or with pieces as SentencePiece has them.
 *
 * @throws FormatError naming what llama.cpp has no counterpart for.
 */
export function parseTokenizerJson(text: string, path: string, named: NamedTokens): GgufVocabulary {
  const bad = (what: string): FormatError => new FormatError(`${path}: ${what}`, { path });
  const { model, added_tokens: added = [], pre_tokenizer: pre, normalizer } = JSON.parse(text) as Json;
  if (model?.type !== "BPE" || model.vocab === undefined)
    throw bad("only tokenizers of the BPE kind have a GGUF form");
  const isBytes = model.byte_fallback !== true;
  const tokens: string[] = [];
  for (const [token, id] of [
    ...Object.entries(model.vocab),
    ...added.map((t) => [t.content, t.id] as const),
  ]) {
    // Ids count tokens; a larger one would have a list made that the file does not justify.
    if (!Number.isInteger(id) || id < 0 || id > text.length)
      throw bad(`token ${JSON.stringify(token)} has the id ${id}`);
    tokens[id] = token;
  }
  for (let id = 0; id < tokens.length; id++) tokens[id] ??= `<unused${id}>`;
  const ids = new Map(tokens.map((token, id) => [token, id]));
  const special = new Set(added.filter((token) => token.special).map(({ id }) => id));
  const user = new Set(added.map(({ id }) => id));
  const find = (token: string | undefined): number | undefined =>
    token === undefined ? undefined : ids.get(token);
  const merges = (model.merges ?? []).map((merge) => (typeof merge === "string" ? merge : merge.join(" ")));
  const unknown = find(named.unknown ?? "<unk>");
  const typeOf = (token: string, id: number): number => {
    if (!isBytes && id === unknown) return TOKEN_TYPES.unknown;
    if (special.has(id)) return TOKEN_TYPES.control;
    if (!isBytes && /^<0x[0-9A-F]{2}>$/.test(token)) return TOKEN_TYPES.byte;
    return user.has(id) ? TOKEN_TYPES.userDefined : TOKEN_TYPES.normal;
  };
  const common = {
    tokens,
    types: tokens.map(typeOf),
    bos: find(named.bos),
    eos: find(named.eos),
    unknown,
    pad: find(named.pad),
    chatTemplate: named.chatTemplate,
  };
  if (isBytes) {
    if (normalizer !== undefined && normalizer !== null)
      throw bad("llama.cpp knows no normalizer of byte-level tokenizers");
    return { ...common, model: "gpt2", merges, pre: preTokenizer(pre, bad), addBos: false };
  }
  return { ...common, model: "llama", scores: scoresOf(tokens, merges), addSpacePrefix: true, addBos: true };
}

/** llama.cpp's name of a splitting: that of GPT-2, with or without digits one by one. */
function preTokenizer(stage: Stage | null | undefined, bad: (what: string) => FormatError): string {
  const stages = stage?.type === "Sequence" ? (stage.pretokenizers ?? []) : stage ? [stage] : [];
  const [bytes, ...before] = [...stages].reverse();
  const isPlain = bytes?.type === "ByteLevel" && bytes.use_regex !== false && bytes.add_prefix_space !== true;
  if (isPlain && before.length === 0) return "gpt-2";
  if (isPlain && before.length === 1 && before[0]!.type === "Digits" && before[0]!.individual_digits)
    return "smollm";
  const shown = stages.map(({ type }) => type).join(", ") || "nothing";
  throw bad(`llama.cpp has no splitting like the one of this tokenizer (${shown})`);
}

/** Scores in the order of the merges; pieces that no merge makes come last. */
function scoresOf(tokens: readonly string[], merges: readonly string[]): number[] {
  const ranks = new Map<string, number>();
  for (const [rank, merge] of merges.entries()) {
    const token = merge.replace(" ", "");
    if (!ranks.has(token)) ranks.set(token, rank);
  }
  return tokens.map((token) => -(ranks.get(token) ?? merges.length));
}

/** Splittings of llama.cpp that a `tokenizer.json` can be written for. */
const BYTE_LEVEL = {
  type: "ByteLevel",
  add_prefix_space: false,
  trim_offsets: true,
  use_regex: true,
} as const;
const SPLITTINGS: Readonly<Record<string, object>> = {
  "gpt-2": BYTE_LEVEL,
  smollm: { type: "Sequence", pretokenizers: [{ type: "Digits", individual_digits: true }, BYTE_LEVEL] },
};

/** A `tokenizer.json` that gives the ids of a byte-level vocabulary; undefined for splittings that it has no words for. */
export function tokenizerJsonOf({ tokens, types, merges = [], pre }: GgufVocabulary): string | undefined {
  const splitting = SPLITTINGS[pre ?? ""];
  if (splitting === undefined) return undefined;
  const isAdded = (id: number): boolean =>
    types[id] === TOKEN_TYPES.control || types[id] === TOKEN_TYPES.userDefined;
  const vocab = tokens.flatMap((token, id) =>
    types[id] === TOKEN_TYPES.unused ? [] : [[token, id] as const],
  );
  const json = {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: vocab
      .filter(([, id]) => isAdded(id))
      .map(([content, id]) => ({
        id,
        content,
        single_word: false,
        lstrip: false,
        rstrip: false,
        normalized: false,
        special: types[id] === TOKEN_TYPES.control,
      })),
    normalizer: null,
    pre_tokenizer: splitting,
    post_processor: null,
    decoder: BYTE_LEVEL,
    model: {
      type: "BPE",
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: false,
      vocab: Object.fromEntries(vocab),
      merges: merges.map((merge) => merge.split(" ")),
    },
  };
  return JSON.stringify(json, null, 2);
}
