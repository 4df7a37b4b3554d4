import { resolve } from "node:path";
import { ConfigError } from "@openelm/native";
import { requireInteger, requireKnown } from "./check.js";
import { controlled } from "./control.js";
import { nativeReadOptions, READ_KEYS, type ReadOptions } from "./documents.js";
import { findFiles } from "./files.js";
import type { Manifest } from "./manifest.js";
import type { LongWork } from "./progress.js";
import type { Tokenizer } from "./tokenizer.js";

export interface PrepareOptions extends ReadOptions {
  /** Files, folders and globs. */
  readonly inputs: string | readonly string[];
  /** The folder to write; made if it is not there. */
  readonly output: string;
  readonly tokenizer: Tokenizer;
  /** Begin each document with the tokenizer's beginning-of-text token. Default: if it has one. */
  readonly addBos?: boolean;
  /** End each document with the tokenizer's end-of-text token. Default: if it has one. */
  readonly addEos?: boolean;
  /** Share of the documents for validation, chosen by a hash of the text. Default 0.005. */
  readonly validationFraction?: number;
  /** A shard is finished with the document that reaches this many tokens. Default 2²⁶. */
  readonly shardTokens?: number;
  /** Replace a corpus of other inputs or options in `output`. Default `false`. */
  readonly overwrite?: boolean;
}

/**
 * Tokenizes a corpus once, into shards that {@link openShards} maps into memory.
 *
 * What is written depends on inputs, tokenizer and options alone. Stopped or killed, the same call goes on behind the
 * last finished shard; finished, it returns at once. `manifest.json` is written last.
 *
 * @throws ConfigError if `output` holds another corpus or another run is writing it, FormatError or FileError for a
 *   file that cannot be used, and the signal's reason when aborted.
 */
export async function prepare(options: PrepareOptions, work: LongWork = {}): Promise<Manifest> {
  const known = [
    "inputs",
    "output",
    "tokenizer",
    "addBos",
    "addEos",
    "validationFraction",
    "shardTokens",
    "overwrite",
  ];
  requireKnown("prepare", options, [...known, ...READ_KEYS]);
  const { tokenizer, validationFraction = 0.005, shardTokens = 2 ** 26, overwrite = false } = options;
  requireInteger("shardTokens", shardTokens, 1, Number.MAX_SAFE_INTEGER);
  const reader = nativeReadOptions(options);
  const prefix = edge(tokenizer.bosId, options.addBos, "addBos");
  const suffix = edge(tokenizer.eosId, options.addEos, "addEos");
  work.signal?.throwIfAborted();
  const inputs = await findFiles(options.inputs, options.split);
  const native = {
    inputs,
    output: resolve(options.output),
    reader,
    prefix,
    suffix,
    validationFraction,
    shardTokens,
    overwrite,
  };
  const json = await controlled(work, (control) => control.prepare(tokenizer.native, native));
  return JSON.parse(json) as Manifest;
}

function edge(id: number | undefined, wanted: boolean | undefined, option: string): number | undefined {
  if (wanted === true && id === undefined) {
    throw new ConfigError(`${option} is set, but the tokenizer has no such token`);
  }
  return wanted === false ? undefined : id;
}
