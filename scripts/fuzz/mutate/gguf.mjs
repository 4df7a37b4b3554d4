// Changes of GGUF files: of their values and tensors as such, counted and laid out as they then are.
import { EDGES, joined, mutateBytes, numberAt, putNumber } from "./bytes.mjs";
import { perSample } from "./per-sample.mjs";

/** @typedef {import("../random.mjs").Random} Random */
/** @typedef {{ key: string, type: number, of?: number, items: Uint8Array[] }} StoredValue - `of` is the type of an array's items. */
/** @typedef {{ name: string, sizes: bigint[], type: number, bytes: Uint8Array }} StoredTensor - `sizes` begin with that of a row. */
/** @typedef {{ values: StoredValue[], tensors: StoredTensor[] }} Parts */

const TEXT = 8;
const ARRAY = 9;
/** Bytes of a value, by the number of its type; of a text those of its length. */
const WIDTHS = [1, 1, 2, 2, 4, 4, 4, 1, 8, 4, 8, 8, 8];
/** Numbers and bytes of a block, by the number of an encoding. @type {Readonly<Record<number, readonly [number, number]>>} */
const BLOCKS = { 0: [1, 4], 1: [1, 2], 2: [32, 18], 8: [32, 34], 12: [256, 144], 28: [1, 8], 30: [1, 2] };
const ENCODINGS = Object.keys(BLOCKS).map(Number);
const ALIGNMENT = 32;
/** Bytes of a tensor beyond which its shape is left alone. */
const MOST = 1 << 16;

/** The parts of a file that is right. @param {Uint8Array} bytes @returns {Parts} */
export function ggufParts(bytes) {
  let at = 8;
  const number = (/** @type {number} */ width) => {
    at += width;
    return numberAt(bytes, at - width, width);
  };
  const taken = (/** @type {number} */ length) => {
    at += length;
    return bytes.slice(at - length, at);
  };
  const text = () => Buffer.from(taken(Number(number(8)))).toString("utf8");
  const item = (/** @type {number} */ type) => taken(type === TEXT ? Number(number(8)) : WIDTHS[type]);
  const [tensorCount, valueCount] = [number(8), number(8)];
  const values = Array.from({ length: Number(valueCount) }, () => {
    const [key, type] = [text(), Number(number(4))];
    if (type !== ARRAY) return { key, type, items: [item(type)] };
    const [of, count] = [Number(number(4)), Number(number(8))];
    return { key, type, of, items: Array.from({ length: count }, () => item(of)) };
  });
  const places = Array.from({ length: Number(tensorCount) }, () => {
    const [name, axes] = [text(), Number(number(4))];
    const sizes = Array.from({ length: axes }, () => number(8));
    return { name, sizes, type: Number(number(4)), offset: Number(number(8)) };
  });
  const data = Math.ceil(at / ALIGNMENT) * ALIGNMENT;
  const tensors = places.map(({ offset, ...tensor }) => ({
    ...tensor,
    bytes: bytes.slice(data + offset, data + offset + bytesOf(tensor)),
  }));
  return { values, tensors };
}

/** @param {{ sizes: readonly bigint[], type: number }} tensor */
function bytesOf({ sizes, type }) {
  const [numbers, bytes] = BLOCKS[type] ?? [1, 4];
  return Math.ceil(sizes.reduce((product, size) => product * Number(size), 1) / numbers) * bytes;
}

/** @param {number | bigint} value @param {number} width */
function fixed(value, width) {
  const out = new Uint8Array(width);
  putNumber(out, 0, width, BigInt(value));
  return out;
}

/** @param {string | Uint8Array} value */
function prefixed(value) {
  const bytes = typeof value === "string" ? new Uint8Array(Buffer.from(value)) : value;
  return joined(fixed(bytes.length, 8), bytes);
}

/** @type {WeakMap<object, Uint8Array>} */
const WRITTEN = new WeakMap();

/** @param {StoredValue} value */
function valueBytes(value) {
  const known = WRITTEN.get(value);
  if (known !== undefined) return known;
  const { key, type, of, items } = value;
  const kind = of ?? type;
  const parts = items.map((item) => (kind === TEXT ? prefixed(item) : item));
  const head = of === undefined ? [] : [fixed(of, 4), fixed(items.length, 8)];
  const bytes = joined(prefixed(key), fixed(type, 4), ...head, ...parts);
  WRITTEN.set(value, bytes);
  return bytes;
}

/** A file of such parts. @param {Parts} parts */
export function ggufBytes({ values, tensors }) {
  let offset = 0;
  const infos = tensors.map(({ name, sizes, type, bytes }) => {
    const info = [
      prefixed(name),
      fixed(sizes.length, 4),
      ...sizes.map((size) => fixed(size, 8)),
      fixed(type, 4),
      fixed(offset, 8),
    ];
    offset += Math.ceil(bytes.length / ALIGNMENT) * ALIGNMENT;
    return joined(...info);
  });
  const counts = [fixed(tensors.length, 8), fixed(values.length, 8)];
  const head = joined(
    new Uint8Array(Buffer.from("GGUF")),
    fixed(3, 4),
    ...counts,
    ...values.map(valueBytes),
    ...infos,
  );
  return joined(
    head,
    filling(head.length),
    ...tensors.flatMap(({ bytes }) => [bytes, filling(bytes.length)]),
  );
}

/** @param {number} length */
const filling = (length) => new Uint8Array((ALIGNMENT - (length % ALIGNMENT)) % ALIGNMENT);

const partsIn = perSample(ggufParts);

/** @param {Random} random @param {Uint8Array} original @returns {Uint8Array} */
export function mutateGguf(random, original) {
  if (random.once(3)) return mutateBytes(random, original);
  const parts = partsIn(original);
  const [values, tensors] = [[...parts.values], [...parts.tensors]];
  for (let left = random.few(5); left > 0; left--) {
    if (random.once(2)) changeList(random, values, otherValue);
    else changeList(random, tensors, otherTensor);
  }
  const bytes = ggufBytes({ values, tensors });
  return random.once(8) ? mutateBytes(random, bytes) : bytes;
}

/** @template T @param {Random} random @param {T[]} list @param {(random: Random, item: T, list: readonly T[]) => T} change */
function changeList(random, list, change) {
  const i = random.below(list.length);
  if (list.length === 0) return;
  const act = random.below(10);
  if (act === 0) list.splice(i, 1);
  else if (act === 1) list.splice(i, 0, list[random.below(list.length)]);
  else list[i] = change(random, list[i], list);
}

/** @param {Random} random @param {StoredValue} value @param {readonly StoredValue[]} all @returns {StoredValue} */
function otherValue(random, value, all) {
  const { key, of, items } = value;
  switch (random.below(6)) {
    case 0:
      return {
        ...value,
        key: random.pick([random.pick(all).key, `${key}x`, "", "general.alignment", "__proto__"]),
      };
    case 1:
      return { ...random.pick(all), key };
    case 2: {
      const type = random.below(WIDTHS.length + 1);
      return type === ARRAY || type >= WIDTHS.length
        ? { ...value, type }
        : { key, type, items: [numberOf(random, type)] };
    }
    default: {
      const type = of ?? value.type;
      const list = [...items];
      const i = random.below(list.length);
      if (of !== undefined && random.once(2)) {
        if (random.once(2)) list.splice(i, 1 + random.below(4));
        else list.splice(i, 0, ...Array(random.pick([1, 4, 1000])).fill(list[i] ?? fixed(0, WIDTHS[type])));
      } else
        list[i] =
          type === TEXT ? mutateBytes(random, list[i] ?? fixed(0, 1)) : numberOf(random, type, list[i]);
      return { ...value, items: list };
    }
  }
}

/** @param {Random} random @param {number} type @param {Uint8Array} [near] - One that may be next to it. */
function numberOf(random, type, near) {
  const width = WIDTHS[type];
  if (type === TEXT)
    return new Uint8Array(
      Buffer.from(
        random.pick(["", "gpt2", "llama", "none", "openelm", "\ufffd", "a".repeat(random.below(300))]),
      ),
    );
  if (near !== undefined && random.once(2))
    return fixed(numberAt(near, 0, width) + BigInt(random.below(5) - 2) + (1n << 64n), width);
  return fixed(random.pick(EDGES), width);
}

/** @param {Random} random @param {StoredTensor} tensor @param {readonly StoredTensor[]} all @returns {StoredTensor} */
function otherTensor(random, tensor, all) {
  const { name, sizes, type, bytes } = tensor;
  switch (random.below(6)) {
    case 0:
      return {
        ...tensor,
        name: random.pick([random.pick(all).name, name.replace(/\d+/, "1"), `${name}x`, "", "__proto__"]),
      };
    case 1:
      return { ...random.pick(all), name };
    case 2:
      return sized({ ...tensor, type: random.once(4) ? random.below(40) : random.pick(ENCODINGS) });
    case 3: {
      const i = random.below(sizes.length);
      const size = sizes[i] ?? 1n;
      const others = [0n, 1n, size + 1n, size - 1n, size * 2n, random.pick(EDGES)];
      return sized({ ...tensor, sizes: sizes.map((known, at) => (at === i ? random.pick(others) : known)) });
    }
    case 4:
      return sized({
        name,
        type,
        bytes,
        sizes: random.pick([[...sizes].reverse(), [...sizes, 1n], sizes.slice(1), [...sizes, ...sizes]]),
      });
    default:
      return { ...tensor, bytes: mutateBytes(random, bytes) };
  }
}

/** With as many bytes as it then has. @param {StoredTensor} tensor @returns {StoredTensor} */
export function sized(tensor) {
  const length = bytesOf(tensor);
  if (!(length >= 0 && length <= MOST)) return tensor;
  const { bytes } = tensor;
  const out = new Uint8Array(length);
  for (let at = 0; at < length && bytes.length > 0; at += bytes.length)
    out.set(bytes.subarray(0, length - at), at);
  return { ...tensor, bytes: out };
}
