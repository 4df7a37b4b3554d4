import { mkdir, rename, rm, stat, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { ConfigError, FileError, type NativeTokenizer, UsageError } from "@openelm/native";
import { requireInteger, requireKnown } from "./check.js";
import { type ReadOptions, readDocuments } from "./documents.js";
import { binding, call, callAsync } from "./native.js";
import { type LongWork, Rate } from "./progress.js";
import { readSpecialTokens, type SpecialTokens, specialTokensConfig, usualToken } from "./special-tokens.js";

export interface EncodeOptions {
  /** Put the beginning-of-text token in front. Default `false`. */
  readonly addBos?: boolean;
  /** Put the end-of-text token behind. Default `false`. */
  readonly addEos?: boolean;
  /**
   * Turn special tokens that are written in the text into their ids. Default `false`: they are text, so that a
   * document cannot forge the end of a text or a turn of a conversation.
   */
  readonly parseSpecial?: boolean;
  /** Apply the template of `tokenizer.json` (its `post_processor`). Default `false`. */
  readonly template?: boolean;
}

export interface DecodeOptions {
  /** Leave special tokens out. Default `true`; the control pieces of a SentencePiece model never have text. */
  readonly skipSpecial?: boolean;
}

export interface TrainTokenizerOptions extends LongWork {
  /** Size of the vocabulary, bytes and special tokens included; fewer where the text has no more to merge. */
  readonly vocabSize: number;
  /** Default `<|bos|>`, `<|eos|>` and `<|pad|>`, with the ids 0, 1 and 2. */
  readonly specialTokens?: SpecialTokens;
  /** More special tokens, for instance of a chat template; their ids follow. */
  readonly additionalTokens?: readonly string[];
  /** A pair is merged only if it occurs this often. Default 2. */
  readonly minFrequency?: number;
  /** Make each digit a token of its own. Default `true`. */
  readonly splitDigits?: boolean;
  /** How files are read. */
  readonly read?: ReadOptions;
}

/** Texts whose ids or words are computed in one go: enough for all threads, soon enough to stop. */
const BATCH_CHARACTERS = 1 << 20;

/**
 * Turns text into ids and back.
 *
 * Reads `tokenizer.json` (Hugging Face) and SentencePiece models (BPE and unigram); encoding runs on native threads.
 *
 * @example
 * ```ts no-run
 * const tokenizer = await Tokenizer.load("model-folder");
 * const ids = await tokenizer.encode("Hello world", { addBos: true }); // Int32Array
 * await tokenizer.decode(ids); // "Hello world"
 * ```
 */
export class Tokenizer {
  /** Number of ids: one more than the largest. */
  readonly vocabSize: number;
  readonly kind: "huggingFace" | "sentencePiece";
  /** SHA-256 of the file, in hexadecimal. */
  readonly sha256: string;
  /** Ids of the special tokens, by their text. */
  readonly specialTokens: ReadonlyMap<string, number>;
  readonly bosId: number | undefined;
  readonly eosId: number | undefined;
  readonly padId: number | undefined;
  /** @internal */
  readonly native: NativeTokenizer;

  private constructor(native: NativeTokenizer, named: SpecialTokens) {
    this.native = native;
    this.vocabSize = native.vocabSize;
    this.kind = native.kind;
    this.sha256 = native.sha256;
    this.specialTokens = new Map(native.specialTokens().map(({ id, text }) => [text, id]));
    const own = native.namedIds();
    const find = (role: "bos" | "eos" | "pad", index: number): number | undefined => {
      const token =
        named[role] ?? (own[index] == null ? usualToken(role, (t) => this.specialTokens.has(t)) : undefined);
      return (token === undefined ? undefined : native.find(token)) ?? own[index] ?? undefined;
    };
    this.bosId = find("bos", 0);
    this.eosId = find("eos", 1);
    this.padId = find("pad", 2);
  }

  /**
   * Reads a tokenizer from a file, or from a folder with `tokenizer.json` or `tokenizer.model` in it. Which tokens
   * begin and end a text is read from `tokenizer_config.json` beside it, else guessed by the usual names.
   *
   * @throws FormatError if the file is neither, FileError if it cannot be read.
   */
  static async load(path: string): Promise<Tokenizer> {
    const file = await tokenizerFile(path);
    const named = await readSpecialTokens(dirname(file));
    return new Tokenizer(await callAsync(() => binding().NativeTokenizer.load(file)), named);
  }

  /**
   * Trains a byte-level BPE tokenizer. The same text gives the same tokenizer.
   *
   * @param source - Paths and globs of files, as for {@link readDocuments}, or the texts themselves.
   * @see Sennrich et al., 2016, arXiv:1508.07909
   */
  static async train(
    source: string | readonly string[] | Iterable<string> | AsyncIterable<string>,
    options: TrainTokenizerOptions,
  ): Promise<Tokenizer> {
    const known = [
      "vocabSize",
      "specialTokens",
      "additionalTokens",
      "minFrequency",
      "splitDigits",
      "read",
      "signal",
      "onProgress",
    ];
    requireKnown("Tokenizer.train", options, known);
    const { vocabSize, minFrequency = 2, splitDigits = true, signal, onProgress } = options;
    const named = options.specialTokens ?? { bos: "<|bos|>", eos: "<|eos|>", pad: "<|pad|>" };
    requireInteger("vocabSize", vocabSize, 1, 0x7fff_ffff);
    requireInteger("minFrequency", minFrequency, 0);
    const specialTokens = [...new Set(Object.values(named)), ...(options.additionalTokens ?? [])];
    const trainer = call(
      () => new (binding().NativeBpeTrainer)({ vocabSize, specialTokens, minFrequency, splitDigits }),
    );
    const paths = typeof source === "string" || Array.isArray(source);
    const texts = paths ? textsOf(source as string | string[], options) : (source as AsyncIterable<string>);
    const rate = new Rate();
    let done = 0;
    for await (const batch of batches(texts)) {
      signal?.throwIfAborted();
      await callAsync(() => trainer.feed(batch));
      done += batch.length;
      onProgress?.({ phase: "count", done, unit: "documents", ...rate.of(done) });
    }
    signal?.throwIfAborted();
    onProgress?.({ phase: "merge", done: 0, total: 1, unit: "vocabulary" });
    const native = await callAsync(() => trainer.finish());
    signal?.throwIfAborted();
    onProgress?.({ phase: "merge", done: 1, total: 1, unit: "vocabulary" });
    return new Tokenizer(native, named);
  }

  /** The ids of a text. */
  async encode(text: string, options: EncodeOptions = {}): Promise<Int32Array> {
    const native = this.#encodeOptions(options);
    return (await callAsync(() => this.native.encodeBatch([text], native))).ids;
  }

  /** The ids of many texts, in parallel. */
  async encodeBatch(texts: Iterable<string>, options: EncodeOptions & LongWork = {}): Promise<Int32Array[]> {
    const { signal, onProgress, ...encode } = options;
    const native = this.#encodeOptions(encode);
    const all = Array.from(texts);
    const rate = new Rate();
    const result: Int32Array[] = [];
    for await (const batch of batches(all)) {
      signal?.throwIfAborted();
      const { ids, lengths } = await callAsync(() => this.native.encodeBatch(batch, native));
      let start = 0;
      for (const length of lengths) {
        // Copies, so that one short text does not keep the ids of all.
        result.push(ids.slice(start, start + length));
        start += length;
      }
      const done = result.length;
      onProgress?.({ phase: "encode", done, total: all.length, unit: "texts", ...rate.of(done) });
    }
    return result;
  }

  #encodeOptions(options: EncodeOptions) {
    requireKnown("encode", options, ["addBos", "addEos", "parseSpecial", "template"]);
    const { addBos = false, addEos = false, parseSpecial = false, template = false } = options;
    return {
      prefix: addBos ? this.#required("bos") : undefined,
      suffix: addEos ? this.#required("eos") : undefined,
      parseSpecial,
      template,
    };
  }

  #required(role: "bos" | "eos"): number {
    const id = role === "bos" ? this.bosId : this.eosId;
    if (id !== undefined) return id;
    const name = role === "bos" ? "beginning" : "end";
    throw new ConfigError(
      `the tokenizer has no token for the ${name} of a text; name one as ${role}_token in tokenizer_config.json`,
    );
  }

  /** The text of `ids`. Bytes that are no UTF-8 become U+FFFD. */
  async decode(ids: Iterable<number>, options: DecodeOptions = {}): Promise<string> {
    const checked = Uint32Array.from(ids, (id) => this.#checked(id));
    return callAsync(() => this.native.decode(checked, options.skipSpecial ?? true));
  }

  /**
   * Turns ids into text as they come.
   *
   * @example
   * ```ts
   * const stream = tokenizer.stream();
   * for (const id of ids) process.stdout.write(stream.push(id)); // whole characters only
   * process.stdout.write(stream.end());
   * ```
   */
  stream(options: DecodeOptions = {}): TokenStream {
    const stream = this.native.stream(options.skipSpecial ?? true);
    return {
      push: (id) => call(() => stream.push(this.#checked(id))),
      end: () => call(() => stream.end()),
    };
  }

  #checked(id: number): number {
    if (Number.isInteger(id) && id >= 0 && id < this.vocabSize) return id;
    throw new UsageError(
      `id ${String(id)} is outside the vocabulary of ${this.vocabSize}`,
      "INDEX_OUT_OF_RANGE",
    );
  }

  /** The text of one token as the vocabulary spells it, or undefined. */
  idToToken(id: number): string | undefined {
    return this.native.token(this.#checked(id)) ?? undefined;
  }

  tokenToId(token: string): number | undefined {
    return this.native.find(token) ?? undefined;
  }

  /**
   * Writes the tokenizer: to a file, byte for byte what was read, or into a folder under the name that other programs
   * look for, with `tokenizer_config.json`.
   *
   * @returns The path of the file.
   */
  async save(path: string): Promise<string> {
    if (/\.(json|model)$/.test(path)) {
      await callAsync(() => this.native.save(path));
      return path;
    }
    const file = join(path, this.native.fileName);
    const tokens: { bos?: string; eos?: string; pad?: string } = {};
    for (const [role, id] of [
      ["bos", this.bosId],
      ["eos", this.eosId],
      ["pad", this.padId],
    ] as const) {
      const token = id === undefined ? null : this.native.token(id);
      if (token !== null) tokens[role] = token;
    }
    const config = join(path, "tokenizer_config.json");
    try {
      await mkdir(path, { recursive: true });
      await writeFile(`${config}.tmp`, specialTokensConfig(tokens), { flush: true });
      await rename(`${config}.tmp`, config);
    } catch (cause) {
      await rm(`${config}.tmp`, { force: true }).catch(() => {});
      throw new FileError(`${config}: cannot write: ${(cause as Error).message}`, { path: config, cause });
    }
    await callAsync(() => this.native.save(file));
    return file;
  }
}

/** Text of ids that come one by one. */
export interface TokenStream {
  /** The text that `id` completes, which may be empty. */
  push(id: number): string;
  /** What is left when no more ids come. */
  end(): string;
}

async function tokenizerFile(path: string): Promise<string> {
  const found = await stat(path).catch((cause: Error) => {
    throw new FileError(`${path}: cannot read: ${cause.message}`, { path, cause });
  });
  if (!found.isDirectory()) return path;
  for (const name of ["tokenizer.json", "tokenizer.model"]) {
    const file = join(path, name);
    if (
      await stat(file).then(
        (entry) => entry.isFile(),
        () => false,
      )
    )
      return file;
  }
  throw new FileError(
    `${path}: the folder ${basename(path)} has neither tokenizer.json nor tokenizer.model`,
    { path },
  );
}

async function* textsOf(
  paths: string | readonly string[],
  options: TrainTokenizerOptions,
): AsyncGenerator<string> {
  for await (const { text } of readDocuments(paths, { ...options.read, signal: options.signal })) yield text;
}

/** Groups texts into batches that are worth a crossing. */
async function* batches(texts: Iterable<string> | AsyncIterable<string>): AsyncGenerator<string[]> {
  let batch: string[] = [];
  let size = 0;
  for await (const text of texts) {
    if (typeof text !== "string")
      throw new UsageError(`a text must be a string, not ${typeof text}`, "INVALID_ARGUMENT");
    batch.push(text);
    size += text.length + 16;
    if (size >= BATCH_CHARACTERS) {
      yield batch;
      batch = [];
      size = 0;
    }
  }
  if (batch.length > 0) yield batch;
}
