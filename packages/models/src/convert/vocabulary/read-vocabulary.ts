//! The tokenizer in the files beside a model.
import { readFile } from "node:fs/promises";
import { basename } from "node:path";
import { parseObject } from "../formats/folder.js";
import type { GgufVocabulary } from "./gguf-vocabulary.js";
import { parseSentencePiece } from "./sentencepiece.js";
import { type NamedTokens, parseTokenizerJson } from "./tokenizer-json.js";

/**
 * The vocabulary of `tokenizer.model` or `tokenizer.json` among some files; undefined where there is neither.
 *
 * @throws FormatError if it has no form that llama.cpp knows.
 */
export async function readVocabulary(files: readonly string[]): Promise<GgufVocabulary | undefined> {
  const find = (name: string): string | undefined => files.find((file) => basename(file) === name);
  const named = await namedTokens(find("tokenizer_config.json"));
  const pieces = find("tokenizer.model") ?? files.find((file) => file.endsWith(".model"));
  if (pieces !== undefined) {
    const vocabulary = parseSentencePiece(await readFile(pieces), pieces);
    return { ...vocabulary, chatTemplate: named.chatTemplate };
  }
  const json = find("tokenizer.json");
  if (json === undefined) return undefined;
  return parseTokenizerJson(await readFile(json, "utf8"), json, named);
}

async function namedTokens(file: string | undefined): Promise<NamedTokens> {
  if (file === undefined) return {};
  const config = parseObject(await readFile(file, "utf8"), file);
  const token = (key: string): string | undefined => {
    const value = config[key];
    const content =
      typeof value === "object" && value !== null ? (value as { content?: unknown }).content : value;
    return typeof content === "string" ? content : undefined;
  };
  return {
    bos: token("bos_token"),
    eos: token("eos_token"),
    unknown: token("unk_token"),
    pad: token("pad_token"),
    chatTemplate: typeof config.chat_template === "string" ? config.chat_template : undefined,
  };
}
