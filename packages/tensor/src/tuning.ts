//! What `device.tune` tells.
import type { DType } from "./dtype.js";

/** A product of matrices that a device met while it was tuned. */
export interface TunedProduct {
  /** What the table calls it: sizes, dtypes, and how its matrices lie in memory. */
  readonly key: string;
  /** Rows, columns, and the length of the sums. */
  readonly size: readonly [rows: number, columns: number, length: number];
  /** Products of this size in one call. */
  readonly batches: number;
  /** Dtype of the factors. */
  readonly dtype: DType;
  /** Dtype of the result. */
  readonly result: DType;
  /** Whether it was added to what was there. */
  readonly accumulate: boolean;
  /** How often it was met. */
  readonly calls: number;
  /** Whether it was measured now; otherwise the table knew it, or there was no memory to measure it. */
  readonly measured: boolean;
  /** Ways to compute it that were tried; null where nothing is known. */
  readonly candidates: number | null;
  /** Microseconds in the way that is taken unmeasured; null where nothing is known. */
  readonly first: number | null;
  /** Microseconds in the best way; null where nothing is known. */
  readonly best: number | null;
}

/** The table by which a device computes products. */
export interface TuningTable {
  /** Where it is kept; null without a folder for it, or where `OPENELM_CUDA_TUNING=0` turns it off. */
  readonly file: string | null;
  /** Of all that decides how products are computed: equal hashes give equal bits. */
  readonly hash: string;
  /** How many products it holds. */
  readonly products: number;
  /** Why a file that is there is not used; null if it is. */
  readonly problem: string | null;
}

/** What tuning gave. */
export interface Tuning {
  /** In the order in which they were met. */
  readonly products: readonly TunedProduct[];
  /** The table with them. */
  readonly table: TuningTable;
}

/** Options of `device.tune`. */
export interface TuneOptions {
  /** Whether products that the table knows are measured again. Default `false`. */
  readonly again?: boolean | undefined;
  /** Hears now and then how many products were met, as long as the event loop turns. */
  readonly onProgress?: ((products: number) => void) | undefined;
}
