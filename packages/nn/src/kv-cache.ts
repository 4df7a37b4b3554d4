import {
  cacheWrite,
  type DeviceLike,
  type DType,
  keep,
  OpError,
  type Tensor,
  TREE,
  type TreeEntry,
  type TreeNode,
  tensor,
  zeros,
} from "@openelm/tensor";

/** Sizes of one layer's keys and values. */
export interface CacheLayer {
  readonly kvHeads: number;
  readonly headDim: number;
}

export interface KVCacheOptions {
  readonly layers: readonly CacheLayer[];
  readonly batch?: number;
  /** Most positions that it will hold. */
  readonly capacity: number;
  readonly dtype?: DType;
  readonly device?: DeviceLike;
}

/** One layer's part of a cache during one forward pass. */
export interface LayerCache {
  /** Where the new positions start, `[batch]` i32. */
  readonly offset: Tensor;
  /**
   * Writes the keys and values of the new positions `[batch, kvHeads, time, headDim]`, and gives all that attention may
   * look at: the whole capacity, and how much of it is filled.
   */
  write(k: Tensor, v: Tensor): { readonly k: Tensor; readonly v: Tensor; readonly length: Tensor };
}

/**
 * Keys and values of positions that a model has seen, so that the next ones need not compute them again.
 *
 * Memory is taken once, for `capacity` positions. Keys are stored normed and rotated.
 *
 * @example
 * ```ts
 * using cache = new KVCache({ layers: [{ kvHeads: 2, headDim: 64 }], capacity: 512 });
 * ```
 */
export class KVCache implements TreeNode {
  readonly batch: number;
  readonly capacity: number;
  readonly #keys: Tensor[];
  readonly #values: Tensor[];
  #length = 0;

  constructor({ layers, batch = 1, capacity, dtype = "f32", device = "cpu" }: KVCacheOptions) {
    this.batch = batch;
    this.capacity = capacity;
    const make = ({ kvHeads, headDim }: CacheLayer): Tensor =>
      keep(zeros([batch, kvHeads, capacity, headDim], { dtype, device }));
    this.#keys = layers.map(make);
    this.#values = layers.map(make);
  }

  /** How many positions are filled. */
  get length(): number {
    return this.#length;
  }

  /**
   * The layers' parts for a pass over `time` new positions.
   *
   * @throws OpError `INVALID_ARGUMENT` if they do not fit.
   */
  layersFor(time: number): LayerCache[] {
    const start = this.#length;
    if (start + time > this.capacity) {
      throw new OpError(
        "INVALID_ARGUMENT",
        "KVCache",
        `${time} positions after ${start} do not fit a capacity of ${this.capacity}`,
      );
    }
    const device = this.#keys[0]!.device;
    const at = (position: number): Tensor => tensor(new Int32Array(this.batch).fill(position), { device });
    const offset = at(start);
    const length = at(start + time);
    return this.#keys.map((keys, layer) => ({
      offset,
      write: (k, v) => {
        const values = this.#values[layer]!;
        cacheWrite(keys, k, offset);
        cacheWrite(values, v, offset);
        return { k: keys, v: values, length };
      },
    }));
  }

  /** Counts `time` positions as filled, once all layers have written them. */
  advance(time: number): void {
    this.#length += time;
  }

  /** Forgets all positions from `length` on. */
  crop(length: number): void {
    if (!Number.isInteger(length) || length < 0 || length > this.#length) {
      throw new OpError(
        "INVALID_ARGUMENT",
        "KVCache",
        `crop wants a length of 0 to ${this.#length}, got ${length}`,
      );
    }
    this.#length = length;
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

  /** Frees the memory. */
  dispose(): void {
    for (const tensor of [...this.#keys, ...this.#values]) tensor.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
