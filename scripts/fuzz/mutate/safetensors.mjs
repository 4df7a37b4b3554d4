// Changes of safetensors files: of the header's JSON, of its length, of the bytes behind, and of the tensors as such.
import { EDGES, joined, mutateBytes, numberAt, otherNumber, putNumber } from "./bytes.mjs";
import { mutateJson } from "./json.mjs";
import { perSample } from "./per-sample.mjs";

/** @typedef {import("../random.mjs").Random} Random */
/** @typedef {{ name: string, dtype: string, shape: number[], bytes: Uint8Array }} StoredTensor */
/** @typedef {{ json: Uint8Array, data: Uint8Array, metadata: Record<string, string> | undefined, tensors: StoredTensor[] }} Parts */

const partsIn = perSample(partsOf);

/** @param {Uint8Array} bytes @returns {Parts} */
function partsOf(bytes) {
  const end = 8 + Number(numberAt(bytes, 0, 8));
  const [json, data] = [bytes.slice(8, end), bytes.subarray(end)];
  const { __metadata__: metadata, ...entries } = JSON.parse(Buffer.from(json).toString("utf8"));
  const tensors = Object.entries(entries).map(
    ([
      name,
      {
        dtype,
        shape,
        data_offsets: [from, to],
      },
    ]) => ({
      name,
      dtype,
      shape,
      bytes: data.subarray(from, to),
    }),
  );
  return { json, data, metadata, tensors };
}

/** A file with such a header. @param {Uint8Array} json @param {boolean} filled @param {bigint | undefined} length @param {Uint8Array} data */
function written(json, filled, length, data) {
  // Headers are filled up to a multiple of 8, mostly.
  const padding = filled ? (8 - (json.length % 8)) % 8 : 0;
  const head = new Uint8Array(8);
  putNumber(head, 0, 8, length ?? BigInt(json.length + padding));
  return joined(head, json, new Uint8Array(padding).fill(32), data);
}

/** @param {Random} random @param {Uint8Array} original @returns {Uint8Array} */
export function mutateSafetensors(random, original) {
  if (random.once(6)) return mutateBytes(random, original);
  const parts = partsIn(original);
  if (random.once(2)) return otherTensors(random, parts);
  const json = mutateJson(random, parts.json);
  const size = BigInt(json.length);
  const length = random.once(16)
    ? otherNumber(random, random.once(2) ? size : random.pick(EDGES))
    : undefined;
  const data = random.once(10) ? mutateBytes(random, parts.data) : parts.data;
  return written(json, !random.once(8), length, data);
}

const SIZES = {
  F64: 8,
  F32: 4,
  BF16: 2,
  F16: 2,
  I64: 8,
  I32: 4,
  U32: 4,
  I16: 2,
  U16: 2,
  I8: 1,
  U8: 1,
  BOOL: 1,
  F8_E4M3: 1,
};
const DTYPES = /** @type {(keyof typeof SIZES)[]} */ (Object.keys(SIZES));

/** @param {readonly number[]} shape */
const elements = (shape) => shape.reduce((product, size) => product * size, 1);

/** A file that is right, with other tensors in it. @param {Random} random @param {Parts} parts */
function otherTensors(random, parts) {
  const tensors = [...parts.tensors];
  let metadata = parts.metadata;
  for (let left = random.few(4); left > 0; left--) {
    const i = random.below(tensors.length);
    const tensor = tensors[i];
    if (tensor === undefined) break;
    const act = random.below(10);
    if (act === 0) tensors.splice(i, 1);
    else if (act === 1) tensors.push({ ...tensor, name: otherName(random, tensor.name) });
    else if (act === 2) tensors[i] = { ...tensor, name: otherName(random, tensor.name) };
    else if (act === 3) tensors[i] = { ...random.pick(tensors), name: tensor.name };
    else if (act < 6) tensors[i] = sized(tensor, random.pick(DTYPES), tensor.shape);
    else if (act < 8) tensors[i] = sized(tensor, tensor.dtype, otherShape(random, tensor.shape));
    else if (act === 8) tensors[i] = { ...tensor, bytes: strangeNumbers(random, tensor.bytes) };
    else metadata = otherMetadata(random, metadata);
  }
  /** @type {Record<string, unknown>} */
  const header = metadata === undefined ? {} : { __metadata__: metadata };
  let at = 0;
  // Of two tensors of one name the object keeps the last one, whose bytes alone may then be there.
  const kept = [...new Map(tensors.map((tensor) => [tensor.name, tensor])).values()];
  for (const { name, dtype, shape, bytes } of kept) {
    header[name] = { dtype, shape, data_offsets: [at, at + bytes.length] };
    at += bytes.length;
  }
  const json = new Uint8Array(Buffer.from(JSON.stringify(header)));
  return written(json, true, undefined, joined(...kept.map(({ bytes }) => bytes)));
}

/** Names of others, and such as nobody gives. @param {Random} random @param {string} name */
const otherName = (random, name) =>
  random.pick([
    `${name}.weight`,
    name.replace(/\d+/, String(random.below(3))),
    name.replace(/\.\w+$/, random.pick([".scales", ".biases", ".bias", ".lora_a", ".m", ""])),
    name.slice(1),
    "__proto__",
    "",
    "é\u0000",
  ]);

/** @param {Random} random @param {readonly number[]} shape */
function otherShape(random, shape) {
  const i = random.below(shape.length);
  switch (random.below(6)) {
    case 0:
      return [...shape].reverse();
    case 1:
      return [...shape, 1];
    case 2:
      return [elements(shape)];
    case 3:
      return shape.length > 1 ? [...shape.slice(0, i), ...shape.slice(i + 1)] : [1, ...shape];
    default:
      return shape.map((size, at) =>
        at === i ? random.pick([0, 1, size + 1, Math.max(0, size - 1), size * 2]) : size,
      );
  }
}

/** The tensor with another dtype or shape, and as many bytes as it then has. @param {StoredTensor} tensor @param {string} dtype @param {number[]} shape @returns {StoredTensor} */
function sized({ name, bytes }, dtype, shape) {
  const length = elements(shape) * (SIZES[/** @type {keyof typeof SIZES} */ (dtype)] ?? 1);
  if (length > 1 << 16) return { name, dtype: "F32", shape: [0], bytes: new Uint8Array(0) };
  const out = new Uint8Array(length);
  for (let at = 0; at < length && bytes.length > 0; at += bytes.length)
    out.set(bytes.subarray(0, length - at), at);
  return { name, dtype, shape, bytes: out };
}

/** Infinities, numbers that are none, and such as no index may be. @param {Random} random @param {Uint8Array} bytes */
function strangeNumbers(random, bytes) {
  const out = bytes.slice();
  const value = random.pick([0x00, 0x7f, 0x80, 0xff]);
  return random.once(4)
    ? out.fill(value)
    : out.fill(value, random.below(out.length), random.below(out.length));
}

/** @param {Random} random @param {Record<string, string> | undefined} metadata */
function otherMetadata(random, metadata) {
  const entries = Object.entries(metadata ?? {});
  const i = random.below(entries.length);
  if (entries.length === 0 || random.once(4)) return undefined;
  if (random.once(2)) entries.splice(i, 1);
  else entries[i] = [entries[i][0], random.pick(["", "0", "1.0", "x".repeat(1000), `${entries[i][1]}0`])];
  return Object.fromEntries(entries);
}
