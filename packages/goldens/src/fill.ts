//! Numbers from an integer hash of a name, which any language reproduces bit for bit.
import { type Shape, type Tensor, tensor } from "@openelm/tensor";

const encoder = new TextEncoder();

function fnv1a32(text: string): number {
  let hash = 0x811c_9dc5;
  for (const byte of encoder.encode(text)) hash = Math.imul(hash ^ byte, 0x0100_0193) >>> 0;
  return hash;
}

/** The hash of element `i` of the array `name`. */
function* hashes(name: string, count: number, seed: number): Iterable<number> {
  const key = fnv1a32(name) ^ seed;
  for (let i = 0; i < count; i++) {
    let h = (Math.imul(i, 0x9e37_79b1) + key) >>> 0;
    h ^= h >>> 16;
    h = Math.imul(h, 0x7feb_352d) >>> 0;
    h ^= h >>> 15;
    h = Math.imul(h, 0x846c_a68b) >>> 0;
    yield (h ^ (h >>> 16)) >>> 0;
  }
}

const elements = (shape: Shape): number => shape.reduce((product, dim) => product * dim, 1);

/** Makes the inputs of one set of goldens. */
export class Filler {
  readonly #seed: number;

  constructor(seed: number) {
    this.#seed = seed;
  }

  /** `offset + scale · v` with `v` in (−1, 1), rounded once to f32. */
  values(name: string, shape: Shape, scale = 1, offset = 0): Float32Array {
    const out = new Float32Array(elements(shape));
    let i = 0;
    for (const h of hashes(name, out.length, this.#seed))
      out[i++] = offset + (scale * (2 * (h >>> 8) + 1 - 2 ** 24)) / 2 ** 24;
    return out;
  }

  tensor(name: string, shape: Shape, scale = 1, offset = 0): Tensor {
    return tensor(this.values(name, shape, scale, offset), { shape });
  }

  /** Whole numbers below `high`. */
  ints(name: string, shape: Shape, high: number): Int32Array {
    return Int32Array.from(hashes(name, elements(shape), this.#seed), (h) => (h >>> 8) % high);
  }

  /** Initial weights: vectors near 1, matrices with variance 1 / inputs. */
  weight(name: string, shape: Shape): Tensor {
    if (shape.length === 1) return this.tensor(name, shape, 0.1, 1);
    return this.tensor(name, shape, 1.7320508075688772 / Math.sqrt(shape.at(-1)!));
  }
}
