// Changes of safetensors files: of the header's JSON, of its length, of the bytes behind.
import { EDGES, joined, mutateBytes, numberAt, otherNumber, putNumber } from "./bytes.mjs";
import { mutateJson } from "./json.mjs";

/** @typedef {import("../random.mjs").Random} Random */

/** @type {WeakMap<Uint8Array, { json: Uint8Array, data: Uint8Array }>} */
const PARTS = new WeakMap();

/** @param {Random} random @param {Uint8Array} original @returns {Uint8Array} */
export function mutateSafetensors(random, original) {
  if (random.once(5)) return mutateBytes(random, original);
  let parts = PARTS.get(original);
  if (parts === undefined) {
    const end = 8 + Number(numberAt(original, 0, 8));
    parts = { json: original.slice(8, end), data: original.subarray(end) };
    PARTS.set(original, parts);
  }
  const json = mutateJson(random, parts.json);
  // Headers are filled up to a multiple of 8, mostly.
  const filled = joined(json, new Uint8Array(random.once(8) ? 0 : (8 - (json.length % 8)) % 8).fill(32));
  const head = new Uint8Array(8);
  const length = BigInt(filled.length);
  putNumber(
    head,
    0,
    8,
    random.once(16) ? otherNumber(random, random.once(2) ? length : random.pick(EDGES)) : length,
  );
  const data = random.once(10) ? mutateBytes(random, parts.data) : parts.data;
  return joined(head, filled, data);
}
