/**
 * Values in (−scale, scale) that a name and a seed determine, exact in f32.
 *
 * `h` of position i is an integer hash of `i · 0x9E3779B1 + (fnv1a(name) ⊕ seed)`; the value is
 * `offset + scale · (2 ⌊h / 256⌋ + 1 − 2²⁴) / 2²⁴`, in f64 with one rounding to f32.
 */
export function fill(name: string, count: number, scale = 1, offset = 0, seed = 1): Float32Array {
  let key = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(name)) key = Math.imul(key ^ byte, 0x01000193);
  key = (key ^ seed) >>> 0;
  return Float32Array.from({ length: count }, (_, i) => {
    let h = (Math.imul(i, 0x9e3779b1) + key) >>> 0;
    h = Math.imul(h ^ (h >>> 16), 0x7feb352d) >>> 0;
    h = Math.imul(h ^ (h >>> 15), 0x846ca68b) >>> 0;
    h = (h ^ (h >>> 16)) >>> 0;
    return offset + scale * ((2 * (h >>> 8) + 1 - 2 ** 24) / 2 ** 24);
  });
}
