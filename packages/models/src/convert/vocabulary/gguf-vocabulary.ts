//! A tokenizer as llama.cpp wants it: lists of tokens and what is to be known of them.
import { ConfigError, type FormatError } from "@openelm/native";
import type { OpenELMConfig } from "../../openelm/config.js";
import type { GgufMetadata, GgufValue } from "../gguf/values.js";

/** Kinds of tokens; the numbers are those of SentencePiece and of GGUF. */
export const TOKEN_TYPES = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 } as const;

/** Tokens by id, and how text becomes tokens. */
export interface GgufVocabulary {
  /** SentencePiece's BPE by scores, or byte-level BPE by merges. */
  readonly model: "llama" | "gpt2";
  readonly tokens: readonly string[];
  /** Numbers of {@link TOKEN_TYPES}. */
  readonly types: readonly number[];
  /** Of `llama`: pairs with a higher score are merged first. */
  readonly scores?: readonly number[] | undefined;
  /** Of `gpt2`: pairs in the order in which they are merged. */
  readonly merges?: readonly string[] | undefined;
  /** Of `gpt2`: how text is split before, by llama.cpp's name. */
  readonly pre?: string | undefined;
  readonly bos?: number | undefined;
  readonly eos?: number | undefined;
  readonly unknown?: number | undefined;
  readonly pad?: number | undefined;
  readonly addSpacePrefix?: boolean | undefined;
  readonly addBos?: boolean | undefined;
  /** Jinja. */
  readonly chatTemplate?: string | undefined;
}

const PREFIX = "tokenizer.ggml.";

/**
 * What stands in a file of a vocabulary, filled up to the tokens that the model has.
 *
 * @throws ConfigError if it has more tokens than the model.
 */
export function vocabularyMetadata(
  vocabulary: GgufVocabulary | undefined,
  { vocabSize }: OpenELMConfig,
): [string, GgufValue][] {
  if (vocabulary === undefined) return [[`${PREFIX}model`, { type: "string", value: "none" }]];
  const { tokens, types, scores, merges } = vocabulary;
  if (tokens.length > vocabSize) {
    throw new ConfigError(`the tokenizer has ${tokens.length} tokens, the model ${vocabSize}`);
  }
  const extra = Array.from({ length: vocabSize - tokens.length }, (_, i) => filler(tokens.length + i));
  const strings = (value: readonly string[]): GgufValue => ({ type: "array", of: "string", value });
  const filled = (values: readonly number[], last: number): readonly number[] => [
    ...values,
    ...extra.map(() => last),
  ];
  const entries: [string, GgufValue | undefined][] = [
    ["model", text(vocabulary.model)],
    ["pre", text(vocabulary.pre ?? "default")],
    ["tokens", strings([...tokens, ...extra])],
    ["scores", scores && { type: "array", of: "f32", value: filled(scores, -1e9) }],
    ["token_type", { type: "array", of: "i32", value: filled(types, TOKEN_TYPES.unused) }],
    ["merges", merges && strings(merges)],
    ["bos_token_id", id(vocabulary.bos)],
    ["eos_token_id", id(vocabulary.eos)],
    ["unknown_token_id", id(vocabulary.unknown)],
    ["padding_token_id", id(vocabulary.pad)],
    ["add_bos_token", flag(vocabulary.addBos)],
    ["add_space_prefix", flag(vocabulary.addSpacePrefix)],
  ];
  const known = entries.flatMap(([key, value]): [string, GgufValue][] =>
    value === undefined ? [] : [[`${PREFIX}${key}`, value]],
  );
  const template = text(vocabulary.chatTemplate);
  return template === undefined ? known : [...known, ["tokenizer.chat_template", template]];
}

/** What stands for an id that the model has and the tokenizer has not. */
const filler = (id: number): string => `<unused${id}>`;

/** How many tokens there are before those that fill up, as written here or by llama.cpp. */
function ownTokens(tokens: readonly string[], types: readonly number[]): number {
  let count = tokens.length;
  const isFiller = (id: number): boolean =>
    types[id] === TOKEN_TYPES.unused && (tokens[id] === filler(id) || tokens[id] === `[PAD${id}]`);
  while (count > 0 && isFiller(count - 1)) count--;
  return count;
}

const text = (value: string | undefined): GgufValue | undefined =>
  value === undefined ? undefined : { type: "string", value };
const id = (value: number | undefined): GgufValue | undefined =>
  value === undefined ? undefined : { type: "u32", value };
const flag = (value: boolean | undefined): GgufValue | undefined =>
  value === undefined ? undefined : { type: "bool", value };

/**
 * The vocabulary of a file, without what fills it up; undefined where it has none of a known kind.
 *
 * @throws FormatError if its lists are not of one length.
 */
export function vocabularyFrom(
  metadata: GgufMetadata,
  file: { bad(at: number, what: string): FormatError },
): GgufVocabulary | undefined {
  const get = (key: string): GgufValue["value"] | undefined => metadata.get(`${PREFIX}${key}`)?.value;
  const model = get("model");
  if (model !== "llama" && model !== "gpt2") return undefined;
  const list = (key: string, type: "string" | "number", length?: number): never[] | undefined => {
    const value = get(key);
    if (value === undefined) return undefined;
    const isList = Array.isArray(value) && value.every((item) => typeof item === type);
    if (isList && (length === undefined || value.length === length)) return value as never[];
    throw file.bad(0, `${PREFIX}${key} must be a list of ${length ?? "any number of"} ${type}s`);
  };
  const tokens: string[] | undefined = list("tokens", "string");
  if (tokens === undefined) throw file.bad(0, `${PREFIX}tokens is missing`);
  const number = (key: string): number | undefined => {
    const value = get(key);
    return typeof value === "number" ? value : undefined;
  };
  const boolean = (key: string): boolean | undefined => {
    const value = get(key);
    return typeof value === "boolean" ? value : undefined;
  };
  const [pre, template] = [get("pre"), metadata.get("tokenizer.chat_template")?.value];
  const types: number[] = list("token_type", "number", tokens.length) ?? tokens.map(() => TOKEN_TYPES.normal);
  const scores: number[] | undefined = list("scores", "number", tokens.length);
  const own = ownTokens(tokens, types);
  return {
    model,
    tokens: tokens.slice(0, own),
    types: types.slice(0, own),
    scores: scores?.slice(0, own),
    merges: list("merges", "string"),
    pre: typeof pre === "string" ? pre : undefined,
    bos: number("bos_token_id"),
    eos: number("eos_token_id"),
    unknown: number("unknown_token_id"),
    pad: number("padding_token_id"),
    addSpacePrefix: boolean("add_space_prefix"),
    addBos: boolean("add_bos_token"),
    chatTemplate: typeof template === "string" ? template : undefined,
  };
}
