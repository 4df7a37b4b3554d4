import type { NativeLoader } from "@openelm/native";
import { requireInteger, requireKnown } from "./check.js";
import { Loader } from "./loader.js";
import type { Shards } from "./shards.js";

export interface PackedLoaderOptions {
  /** Positions of a row. */
  readonly sequenceLength: number;
  /** Rows of a batch on this rank. */
  readonly batchSize: number;
  /** Decides the order; the same on all ranks. Default 0. */
  readonly seed?: number;
  /** Put the documents of all shards into a new random order each epoch. Default `true`. */
  readonly shuffle?: boolean;
  /** This process among `world`. Default 0 of 1. */
  readonly rank?: number;
  readonly world?: number;
  /** Give `documents`, and no target across the border of two documents. Default `true`. */
  readonly documentMask?: boolean;
  /** The target of a position that predicts nothing. Default -100. */
  readonly ignoreIndex?: number;
  /** What fills the inputs behind the last token of the last epoch. Default 0. */
  readonly padId?: number;
  /** Passes over the corpus. Default: without end. */
  readonly epochs?: number;
  /** Batches made ahead. Default 4. */
  readonly prefetch?: number;
}

/** Where a {@link PackedLoader} stands; the same on every rank between two steps. */
export interface PackedState {
  readonly kind: "packed";
  readonly version: number;
  readonly dataset: string;
  readonly seed: number;
  readonly shuffle: boolean;
  readonly sequenceLength: number;
  /** Rows given out so far, on all ranks. */
  readonly sequence: number;
  readonly epoch: number;
  /** Position in the order of the epoch, and tokens of that document that have been inputs. */
  readonly document: number;
  readonly offset: number;
}

/**
 * Rows filled with documents back to back, in a global random order.
 *
 * All documents, epoch after epoch, are one stream; row g has its tokens gT … gT+T-1 as inputs and the ones behind
 * them as targets, so every token is an input exactly once an epoch. A state fits any number of ranks and any batch
 * size. All ranks give the same number of batches; with `epochs`, the last one may hold rows without targets.
 *
 * Shapes: `inputs`, `targets` and `documents` are `[batchSize, sequenceLength]`.
 *
 * @example
 * ```ts no-run
 * const loader = new PackedLoader(await openShards("corpus"), { sequenceLength: 2048, batchSize: 8 });
 * for await (const batch of loader) console.log(batch.shape, batch.tokens);
 * ```
 */
export class PackedLoader extends Loader<PackedState> {
  protected readonly rows: number;
  protected readonly length: number;
  readonly #shards: Shards;
  readonly #options: PackedLoaderOptions;

  constructor(shards: Shards, options: PackedLoaderOptions) {
    super();
    const known = [
      "sequenceLength",
      "batchSize",
      "seed",
      "shuffle",
      "rank",
      "world",
      "documentMask",
      "ignoreIndex",
    ];
    requireKnown("PackedLoader", options, [...known, "padId", "epochs", "prefetch"]);
    requireInteger("sequenceLength", options.sequenceLength, 1, 2 ** 30);
    requireInteger("batchSize", options.batchSize, 1, 2 ** 30);
    requireInteger("seed", options.seed ?? 0, 0, Number.MAX_SAFE_INTEGER);
    requireInteger("world", options.world ?? 1, 1);
    requireInteger("rank", options.rank ?? 0, 0, (options.world ?? 1) - 1);
    requireInteger("ignoreIndex", options.ignoreIndex ?? -100, -(2 ** 31), 2 ** 31 - 1);
    requireInteger("padId", options.padId ?? 0, 0, 2 ** 31 - 1);
    requireInteger("prefetch", options.prefetch ?? 4, 1, 1024);
    if (options.epochs !== undefined) requireInteger("epochs", options.epochs, 1);
    this.#shards = shards;
    this.#options = options;
    this.rows = options.batchSize;
    this.length = options.sequenceLength;
  }

  protected open(state: string | undefined): Promise<NativeLoader> {
    const options = this.#options;
    const native = {
      sequenceLength: options.sequenceLength,
      batchSize: options.batchSize,
      seed: options.seed ?? 0,
      shuffle: options.shuffle ?? true,
      rank: options.rank ?? 0,
      world: options.world ?? 1,
      documentMask: options.documentMask ?? true,
      ignoreIndex: options.ignoreIndex ?? -100,
      padId: options.padId ?? 0,
      epochs: options.epochs,
    };
    return this.#shards.native.packed(native, state, options.prefetch ?? 4);
  }
}
