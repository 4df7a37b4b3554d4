import {
  type Device,
  type DeviceLike,
  type DType,
  defaults,
  device as deviceOf,
  keep,
  OpError,
  onEveryRun,
  type Tensor,
  TREE,
  type TreeEntry,
  type TreeNode,
  tensor,
  UsageError,
  zeros,
} from "@openelm/tensor";

/** Sizes of one layer's keys and values. */
export interface CacheLayer {
  /** Heads of keys and values. */
  readonly kvHeads: number;
  /** Elements of one head's key or value. */
  readonly headDim: number;
}

/** Options of {@link KVCache}. */
export interface KVCacheOptions {
  /** One entry a layer, from the first to the last. */
  readonly layers: readonly CacheLayer[];
  /** Sequences side by side. Default 1. */
  readonly batch?: number | undefined;
  /** Most positions that it will hold. */
  readonly capacity: number;
  /** That of the model's activations. Default: that of `withDefaults`, else f32. */
  readonly dtype?: DType | undefined;
  /** That of the model. Default: that of `withDefaults`, else the CPU. */
  readonly device?: DeviceLike | undefined;
}

/**
 * One layer's part of a cache during one forward pass. A layer writes the keys and values of the new positions to
 * `offset` (`qkNormRopeCache` does so, and `cacheWrite`), and then looks at the first `length` of all.
 */
export interface LayerCache {
  /** Keys over the whole capacity, `[batch, kvHeads, capacity, headDim]`. */
  readonly keys: Tensor;
  /** Values, like the keys. */
  readonly values: Tensor;
  /** Where the new positions start, `[batch]` i32. */
  readonly offset: Tensor;
  /** How much is filled once they are written, `[batch]` i32. */
  readonly length: Tensor;
}

/**
 * Keys and values of positions that a model has seen, so that the next ones need not compute them again.
 *
 * Memory is taken once, for `capacity` positions. Keys are stored normed and rotated. Each row of a batch begins at
 * position 0 and has a length of its own: prompts of different lengths are padded behind, and `crop` then takes the
 * padding back, so that the next tokens of a row are written where its own prompt ended.
 *
 * @example
 * ```ts
 * using cache = new KVCache({ layers: [{ kvHeads: 2, headDim: 64 }], batch: 2, capacity: 512 });
 * cache.advance(7);
 * cache.crop([7, 4]);
 * cache.lengths; // [7, 4]
 * ```
 */
export class KVCache implements TreeNode {
  readonly batch: number;
  readonly capacity: number;
  readonly device: Device;
  readonly #keys: Tensor[];
  readonly #values: Tensor[];
  #lengths: readonly number[];
  /** The lengths on the device, `[batch]` i32: a recorded pass goes on where the last one ended. */
  readonly #filled: Tensor;

  /** @throws UsageError if a size is not a whole number above 0. */
  constructor({ layers, batch = 1, capacity, dtype, device: place }: KVCacheOptions) {
    const ambient = defaults();
    const device = deviceOf(place ?? ambient.device);
    checkSize("batch", batch);
    checkSize("capacity", capacity);
    if (layers.length === 0) throw new UsageError("KVCache: layers must not be empty");
    for (const { kvHeads, headDim } of layers) {
      checkSize("kvHeads", kvHeads);
      checkSize("headDim", headDim);
    }
    this.batch = batch;
    this.capacity = capacity;
    this.device = device;
    const make = ({ kvHeads, headDim }: CacheLayer): Tensor =>
      keep(zeros([batch, kvHeads, capacity, headDim], { dtype: dtype ?? ambient.dtype, device }));
    this.#keys = layers.map(make);
    this.#values = layers.map(make);
    this.#filled = keep(zeros([batch], { dtype: "i32", device }));
    this.#lengths = Array<number>(batch).fill(0);
  }

  /** How many positions are filled, in the longest row. */
  get length(): number {
    return Math.max(...this.#lengths);
  }

  /** How many positions of each row are filled. */
  get lengths(): readonly number[] {
    return this.#lengths;
  }

  /**
   * The layers' parts for a pass over `time` new positions.
   *
   * @throws OpError `INVALID_ARGUMENT` if they do not fit.
   */
  layersFor(time: number): LayerCache[] {
    checkSize("time", time);
    const start = this.length;
    if (start + time > this.capacity) {
      throw new OpError(
        "INVALID_ARGUMENT",
        "KVCache",
        `${time} positions after ${start} do not fit a capacity of ${this.capacity}; crop it, or make a larger one`,
      );
    }
    // A copy: a tape may hold on to it, while the length goes on.
    const offset = this.#filled.copy();
    const length = offset.add(time);
    return this.#keys.map((keys, layer) => ({ keys, values: this.#values[layer]!, offset, length }));
  }

  /**
   * Counts `time` positions as filled, once all layers have written them.
   *
   * @throws OpError `INVALID_ARGUMENT` if there is no room for them.
   */
  advance(time: number): void {
    if (!Number.isInteger(time) || time < 0 || this.length + time > this.capacity) {
      throw new OpError(
        "INVALID_ARGUMENT",
        "KVCache",
        `advance wants 0 to ${this.capacity - this.length} positions, got ${time}`,
      );
    }
    this.#filled.setAt([":"], this.#filled.add(time));
    onEveryRun(() => {
      this.#lengths = this.#lengths.map((length) => length + time);
    });
  }

  /**
   * Forgets all positions from `length` on, in all rows or in each row from its own.
   *
   * @throws OpError `INVALID_ARGUMENT` if fewer are filled, or there is not one length a row.
   */
  crop(length: number | readonly number[]): void {
    const lengths = typeof length === "number" ? this.#lengths.map(() => length) : length;
    if (lengths.length !== this.batch) {
      const got = `got ${lengths.length} for ${this.batch}`;
      throw new OpError("INVALID_ARGUMENT", "KVCache", `crop wants one length a row, ${got}`);
    }
    for (const [row, wanted] of lengths.entries()) {
      const filled = this.#lengths[row]!;
      if (Number.isInteger(wanted) && wanted >= 0 && wanted <= filled) continue;
      const where = this.batch === 1 ? "" : ` for row ${row}`;
      const message = `crop wants a length of 0 to ${filled}${where}, got ${wanted}`;
      throw new OpError("INVALID_ARGUMENT", "KVCache", message);
    }
    this.#setLengths(lengths);
  }

  /**
   * Counts so many positions of each row as filled, whatever was filled before: for keys and values that were written
   * into the layers' tensors from outside.
   *
   * @throws OpError `INVALID_ARGUMENT` if they are more than the capacity.
   */
  restore(length: number): void {
    if (!Number.isInteger(length) || length < 0 || length > this.capacity) {
      const message = `restore wants a length of 0 to ${this.capacity}, got ${length}`;
      throw new OpError("INVALID_ARGUMENT", "KVCache", message);
    }
    this.#setLengths(this.#lengths.map(() => length));
  }

  #setLengths(lengths: readonly number[]): void {
    const { device } = this;
    using values = tensor(Int32Array.from(lengths), { shape: [this.batch], device });
    this.#filled.setAt([":"], values);
    this.#lengths = [...lengths];
  }

  /** Keys and values of a layer, `[batch, kvHeads, capacity, headDim]`. */
  layer(index: number): { readonly k: Tensor; readonly v: Tensor } {
    const [k, v] = [this.#keys[index], this.#values[index]];
    if (!k || !v) throw new OpError("INVALID_ARGUMENT", "KVCache", `there is no layer ${index}`);
    return { k, v };
  }

  *[TREE](): Iterable<TreeEntry> {
    for (const [i, tensor] of this.#keys.entries()) yield { path: `keys.${i}`, tensor, trainable: false };
    for (const [i, tensor] of this.#values.entries()) yield { path: `values.${i}`, tensor, trainable: false };
  }

  /** How many layers it was made for. */
  get layerCount(): number {
    return this.#keys.length;
  }

  /** Frees the memory; a pass that uses the cache afterwards throws `DisposedError`. */
  dispose(): void {
    for (const tensor of [...this.#keys, ...this.#values, this.#filled]) tensor.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

function checkSize(name: string, value: number): void {
  if (Number.isSafeInteger(value) && value >= 1) return;
  throw new UsageError(`KVCache: ${name} must be a whole number above 0, got ${value}`);
}
