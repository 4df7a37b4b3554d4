import { type NativeBatch, type NativeLoader, UsageError } from "@openelm/native";
import { callAsync } from "./native.js";

/** Rows of token ids, ready for a training step. */
export interface Batch {
  /** Token ids, row by row. */
  readonly inputs: Int32Array;
  /** The token behind each input; the ignored index where there is none. */
  readonly targets: Int32Array;
  /** For each position the number of its document within the row: attention must not leave it. */
  readonly documents?: Int32Array;
  /** Rows and positions. */
  readonly shape: readonly [rows: number, length: number];
  /** Targets that count. */
  readonly tokens: number;
}

/**
 * Batches that native threads make ahead, and where to go on after each.
 *
 * `state` is a small JSON value: it belongs to the last batch that was taken, whatever has been made ahead.
 */
export abstract class Loader<State> implements AsyncIterable<Batch> {
  #native: Promise<NativeLoader> | undefined;
  #state: State | undefined;
  /** Calls of `next` and `restore` happen one after another. */
  #last: Promise<unknown> = Promise.resolve();

  /** Starts the native loader behind `state`, or from the beginning. */
  protected abstract open(state: string | undefined): Promise<NativeLoader>;
  protected abstract readonly rows: number;
  protected abstract readonly length: number;

  /** The next batch, or undefined after the last one. */
  next(): Promise<Batch | undefined> {
    return this.#inTurn(async () => {
      const loader = await this.#opened();
      const batch = await callAsync(() => loader.next());
      if (batch === null) return undefined;
      this.#state = JSON.parse(batch.state) as State;
      return this.#batch(batch);
    });
  }

  /**
   * Where the loader stands: restored by a loader with the same data and options, it goes on with the same batches.
   *
   * @throws UsageError before the first batch was taken, or {@link ready} awaited.
   */
  get state(): State {
    if (this.#state !== undefined) return structuredClone(this.#state);
    throw new UsageError("the loader has no state yet: take a batch or await loader.ready() first");
  }

  /** Opens the loader, which otherwise happens with the first batch; errors of options and files come here. */
  ready(): Promise<void> {
    return this.#inTurn(async () => {
      await this.#opened();
    });
  }

  /** Goes on behind `state`; what was made ahead is dropped. */
  restore(state: State): Promise<void> {
    return this.#inTurn(async () => {
      const native = await callAsync(() => this.open(jsonOf(state)));
      this.#native = Promise.resolve(native);
      this.#state = JSON.parse(native.state) as State;
    });
  }

  /** Goes on from where the loader stands; leaving the loop keeps the place. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Batch, void, undefined> {
    for (;;) {
      const batch = await this.next();
      if (batch === undefined) return;
      yield batch;
    }
  }

  async #opened(): Promise<NativeLoader> {
    this.#native ??= callAsync(() => this.open(undefined)).then((native) => {
      this.#state = JSON.parse(native.state) as State;
      return native;
    });
    return this.#native;
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(work);
    this.#last = turn.catch(() => {});
    return turn;
  }

  #batch({ inputs, targets, documents, tokens }: NativeBatch): Batch {
    const shape = [this.rows, this.length] as const;
    return documents == null
      ? { inputs, targets, shape, tokens }
      : { inputs, targets, documents, shape, tokens };
  }
}

/** A state as text. One that was read from a file may be no state, and go deeper than can be written. */
function jsonOf(state: unknown): string {
  try {
    return JSON.stringify(state) ?? "null";
  } catch (cause) {
    throw new UsageError(`this is no state of a loader: ${(cause as Error).message}`, "USAGE", { cause });
  }
}
