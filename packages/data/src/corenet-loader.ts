import { resolve } from "node:path";
import { ConfigError, type NativeLoader } from "@openelm/native";
import { requireInteger, requireKnown } from "./check.js";
import { Loader } from "./loader.js";
import { binding } from "./native.js";
import type { Tokenizer } from "./tokenizer.js";

/** An entry of CoreNet's `train_data_info`. */
export interface CorenetDataInfo {
  /** A Python format template: `part-{file_id:05d}.parquet`. */
  readonly fileName: string;
  readonly textKey: string;
  /** First id and the one behind the last. */
  readonly fileIdRange: readonly [start: number, end: number];
}

export interface CorenetLoaderOptions {
  readonly data: readonly CorenetDataInfo[];
  readonly tokenizer: Tokenizer;
  /** Rows of a batch on this rank. */
  readonly batchSize: number;
  /** Default 2048; texts are cut to one token more. */
  readonly sequenceLength?: number;
  /** Shorter pieces are dropped; the tokens at both ends count. Default 0; OpenELM used 256. */
  readonly minTokensPerText?: number;
  /** Default 0; OpenELM used 200. */
  readonly minCharactersPerText?: number;
  /** Words of a piece. Default 2048. */
  readonly documentSplitSize?: number;
  /** Default `false`; OpenELM used `true`. */
  readonly shuffleData?: boolean;
  /** Default 0. */
  readonly randomSeed?: number;
  /** Default `true`. */
  readonly appendSotToken?: boolean;
  /** Default `true`. */
  readonly appendEotToken?: boolean;
  /** Compose characters (NFC). CoreNet's option of this name also repairs text with `ftfy`; this one does not. */
  readonly enableNfcNormalization?: boolean;
  /** Default: the size of the vocabulary, which is CoreNet's choice for a tokenizer without padding. */
  readonly padId?: number;
  /** This process among `world`. Default 0 of 1. */
  readonly rank?: number;
  readonly world?: number;
  /** Loader processes that a rank of CoreNet has. Default 4. */
  readonly workers?: number;
  /** Batches made ahead. Default 4. */
  readonly prefetch?: number;
}

/** Where a {@link CorenetLoader} stands: one rank's state, for the same number of ranks and workers. */
export interface CorenetState {
  readonly kind: "corenet";
  readonly version: number;
  readonly key: string;
  readonly rank: number;
  readonly batch: number;
  readonly workers: readonly {
    readonly epoch: number;
    readonly file: number;
    readonly document: number;
    readonly piece: number;
  }[];
}

/**
 * The batches of CoreNet's `general_lm` data set, in its order.
 *
 * A document is cut at single spaces into pieces of 2048 words; pieces that are too short are dropped; the ids of a
 * piece, with both end tokens, are cut to T+1 or padded. Inputs are the first T, targets the last T, padding included.
 * Nothing is packed: {@link PackedLoader} wastes no positions.
 *
 * Shapes: `inputs` and `targets` are `[batchSize, sequenceLength]`.
 */
export class CorenetLoader extends Loader<CorenetState> {
  protected readonly rows: number;
  protected readonly length: number;
  readonly #options: CorenetLoaderOptions;

  constructor(options: CorenetLoaderOptions) {
    super();
    requireKnown("CorenetLoader", options, KEYS);
    requireInteger("batchSize", options.batchSize, 1, 2 ** 30);
    requireInteger("sequenceLength", options.sequenceLength ?? 2048, 1, 2 ** 30);
    requireInteger("randomSeed", options.randomSeed ?? 0, 0, Number.MAX_SAFE_INTEGER);
    requireInteger("world", options.world ?? 1, 1);
    requireInteger("rank", options.rank ?? 0, 0, (options.world ?? 1) - 1);
    requireInteger("workers", options.workers ?? 4, 1, 4096);
    requireInteger("prefetch", options.prefetch ?? 4, 1, 1024);
    for (const key of ["minTokensPerText", "minCharactersPerText"] as const)
      requireInteger(key, options[key] ?? 0, 0);
    requireInteger("documentSplitSize", options.documentSplitSize ?? 2048, 1);
    requireInteger("padId", options.padId ?? options.tokenizer.vocabSize, 0, 2 ** 31 - 1);
    this.#options = options;
    this.rows = options.batchSize;
    this.length = options.sequenceLength ?? 2048;
  }

  protected open(state: string | undefined): Promise<NativeLoader> {
    const { tokenizer, ...options } = this.#options;
    const native = {
      files: options.data.flatMap(corenetFiles),
      sequenceLength: this.length,
      batchSize: this.rows,
      minTokens: options.minTokensPerText ?? 0,
      minCharacters: options.minCharactersPerText ?? 0,
      documentWords: options.documentSplitSize ?? 2048,
      shuffle: options.shuffleData ?? false,
      seed: options.randomSeed ?? 0,
      rank: options.rank ?? 0,
      world: options.world ?? 1,
      workers: options.workers ?? 4,
      prefix: (options.appendSotToken ?? true) ? end(tokenizer.bosId, "appendSotToken") : undefined,
      suffix: (options.appendEotToken ?? true) ? end(tokenizer.eosId, "appendEotToken") : undefined,
      padId: options.padId ?? tokenizer.vocabSize,
      nfc: options.enableNfcNormalization ?? false,
    };
    return binding().NativeCorenetLoader.open(tokenizer.native, native, state, options.prefetch ?? 4);
  }
}

const KEYS = [
  "data",
  "tokenizer",
  "batchSize",
  "sequenceLength",
  "minTokensPerText",
  "minCharactersPerText",
  "documentSplitSize",
  "shuffleData",
  "randomSeed",
  "appendSotToken",
  "appendEotToken",
  "enableNfcNormalization",
  "padId",
  "rank",
  "world",
  "workers",
  "prefetch",
];

function end(id: number | undefined, option: string): number {
  if (id !== undefined) return id;
  throw new ConfigError(`${option} is set, but the tokenizer has no such token`);
}

/** The files of one entry: its template for every id of the range. */
export function corenetFiles({
  fileName,
  textKey,
  fileIdRange,
}: CorenetDataInfo): { path: string; textKey: string }[] {
  const [start, stop] = fileIdRange;
  requireInteger("fileIdRange[0]", start, 0);
  requireInteger("fileIdRange[1]", stop, start + 1);
  const ids = Array.from({ length: stop - start }, (_, i) => start + i);
  return ids.map((id) => ({ path: resolve(formatFileName(fileName, id)), textKey }));
}

/** Python's `template.format(file_id=id)` for integers: `{file_id}`, `{file_id:05d}`, `{{` and `}}`. */
function formatFileName(template: string, id: number): string {
  return template.replaceAll(/\{\{|\}\}|\{([^{}]*)\}|[{}]/g, (match, field: string | undefined) => {
    if (match === "{{") return "{";
    if (match === "}}") return "}";
    const format = /^file_id(?::(0?)(\d*)d?)?$/.exec(field ?? "");
    if (format === null)
      throw new ConfigError(`fileName ${template}: only {file_id} and {file_id:05d} can stand in braces`);
    return String(id).padStart(Number(format[2] ?? 0), format[1] === "0" ? "0" : " ");
  });
}
