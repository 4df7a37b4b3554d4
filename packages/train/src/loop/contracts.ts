//! What the loop asks of models and loaders. Any module or loader of this form will do.
import type { CrossEntropyLossOptions, LossParts, Module } from "@openelm/nn";
import type { Operand, Tensor } from "@openelm/tensor";

/** Tokens on a device, and what should follow each of them. */
export interface LossBatch {
  /** `[batch, time]` i32. */
  readonly inputs: Tensor;
  /** `[batch, time]` i32. */
  readonly targets: Tensor;
  /** Number of the document of each position, `[batch, time]` i32. */
  readonly documents?: Tensor | undefined;
  /** What the summed losses are divided by. */
  readonly tokens?: Operand | undefined;
}

/** A module that computes its own loss: the sums over all counted targets, divided by `tokens`. */
export type LanguageModel = Module & {
  loss(batch: LossBatch, options?: CrossEntropyLossOptions): LossParts;
  /**
   * Whether a recorded `loss` may be replayed (`device.capture`): nothing but tensors decides what it computes, such as a
   * count on the host or a number that is drawn there. Default `false`.
   */
  readonly replayable?: boolean;
};

/** Tokens on the host. */
export interface Batch {
  /** Row-major. */
  readonly inputs: Int32Array;
  readonly targets: Int32Array;
  readonly documents?: Int32Array | undefined;
  /** `[batch, time]`. */
  readonly shape: readonly number[];
  /** Targets that count. */
  readonly tokens: number;
}

/** Gives batches, and can go on from where it stood. */
export interface Loader extends AsyncIterable<Batch> {
  /** Where the loader stands: behind the last batch that it gave. A JSON value. */
  readonly state: unknown;
  /** Goes on from a {@link state}. */
  restore(state: never): void | Promise<void>;
}
