/**
 * What is made of a sample, once: a sample is changed some hundred thousand times, each time as it was.
 *
 * @template {unknown[]} R
 * @template V
 * @param {(sample: Uint8Array, ...rest: R) => V} make
 * @returns {(sample: Uint8Array, ...rest: R) => V}
 */
export function perSample(make) {
  /** @type {WeakMap<Uint8Array, { value: V }>} */
  const made = new WeakMap();
  return (sample, ...rest) => {
    const known = made.get(sample) ?? { value: make(sample, ...rest) };
    made.set(sample, known);
    return known.value;
  };
}
