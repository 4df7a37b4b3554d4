// Changes of structures in Thrift's compact form, of which Parquet's metadata is made.
import { EDGES, joined, mutateBytes } from "./bytes.mjs";
import { varintAt, varintOf } from "./varint.mjs";

/** @typedef {import("../random.mjs").Random} Random */
/** @typedef {{ id: number, type: number, value: Value }} Field */
/** @typedef {{ of: number, items: Value[] }} List */
/** @typedef {boolean | bigint | Uint8Array | List | Field[]} Value - Numbers, texts, lists and structures. */

const [TRUE, FALSE, BYTE, I64, DOUBLE, BINARY, LIST, SET, STRUCT] = [1, 2, 3, 6, 7, 8, 9, 10, 12];

/** @param {Uint8Array} bytes @param {number} [from] @returns {{ fields: Field[], end: number }} */
export function structIn(bytes, from = 0) {
  let at = from;
  const varint = () => {
    const { value, end } = varintAt(bytes, at);
    at = end;
    return value;
  };
  const whole = () => {
    const value = varint();
    return (value >> 1n) ^ -(value & 1n);
  };
  const taken = (/** @type {number} */ length) => {
    at += length;
    return bytes.slice(at - length, at);
  };
  /** @param {number} type @returns {Value} */
  const value = (type) => {
    if (type === TRUE || type === FALSE) return type === TRUE;
    if (type === BYTE) return BigInt(taken(1)[0]);
    if (type <= I64) return whole();
    if (type === DOUBLE) return taken(8);
    if (type === BINARY) return taken(Number(varint()));
    if (type === STRUCT) return fields();
    if (type !== LIST && type !== SET) throw new Error(`a sample has the Thrift type ${type}`);
    const head = taken(1)[0];
    const count = head >> 4 === 15 ? Number(varint()) : head >> 4;
    const of = head & 15;
    return { of, items: Array.from({ length: count }, () => (of <= FALSE ? taken(1)[0] === 1 : value(of))) };
  };
  const fields = () => {
    /** @type {Field[]} */
    const list = [];
    for (let last = 0; ; ) {
      const head = taken(1)[0];
      if (head === 0) return list;
      const id = head >> 4 === 0 ? Number(whole()) : last + (head >> 4);
      list.push({ id, type: head & 15, value: value(head & 15) });
      last = id;
    }
  };
  return { fields: fields(), end: at };
}

/** @param {bigint} value */
const wholeOf = (value) => varintOf((value << 1n) ^ (value >> 63n));

/** @param {number} type @param {Value} value @returns {Uint8Array} */
function valueBytes(type, value) {
  if (typeof value === "boolean") return new Uint8Array(0);
  if (typeof value === "bigint") return type === BYTE ? Uint8Array.of(Number(value & 255n)) : wholeOf(value);
  if (value instanceof Uint8Array)
    return type === DOUBLE ? value : joined(varintOf(BigInt(value.length)), value);
  if (Array.isArray(value)) return structBytes(value);
  const { of, items } = value;
  const head =
    items.length < 15
      ? [Uint8Array.of((items.length << 4) | of)]
      : [Uint8Array.of(0xf0 | of), varintOf(BigInt(items.length))];
  return joined(
    ...head,
    ...items.map((item) => (typeof item === "boolean" ? Uint8Array.of(item ? 1 : 2) : valueBytes(of, item))),
  );
}

/** @param {readonly Field[]} fields @returns {Uint8Array} */
export function structBytes(fields) {
  let last = 0;
  const parts = fields.map(({ id, type, value }) => {
    const step = id - last;
    last = id;
    const kind = typeof value === "boolean" ? (value ? TRUE : FALSE) : type;
    const head =
      step > 0 && step < 16
        ? Uint8Array.of((step << 4) | kind)
        : joined(Uint8Array.of(kind), wholeOf(BigInt(id)));
    return joined(head, valueBytes(type, value));
  });
  return joined(...parts, new Uint8Array(1));
}

/** One change somewhere, the likelier the higher. @param {Random} random @param {readonly Field[]} fields @returns {Field[]} */
export function mutateStruct(random, fields) {
  const list = [...fields];
  const i = random.below(list.length);
  const field = list[i];
  if (field === undefined) return list;
  switch (random.below(14)) {
    case 0:
      list.splice(i, 1);
      break;
    case 1:
      list.splice(i, 0, field);
      break;
    case 2:
      list[i] = { ...field, id: random.pick([field.id + 1, random.below(20), 0, -1, 32767]) };
      break;
    case 3:
      list[i] = { ...field, type: 1 + random.below(13) };
      break;
    default:
      list[i] = { ...field, value: otherValue(random, field.value) };
  }
  return list;
}

/** @param {Random} random @param {Value} value @returns {Value} */
function otherValue(random, value) {
  if (typeof value === "boolean") return !value;
  if (typeof value === "bigint") {
    const near = value + BigInt(random.below(5) - 2);
    return random.pick([near, near, value * 2n, -value, random.pick(EDGES), BigInt(random.below(10))]);
  }
  if (value instanceof Uint8Array) return mutateBytes(random, value);
  if (Array.isArray(value)) return mutateStruct(random, value);
  const items = [...value.items];
  const i = random.below(items.length);
  const act = random.below(8);
  if (act === 0) items.splice(i, 1);
  else if (act === 1) items.push(...Array(random.pick([1, 2, 100])).fill(items[i] ?? 0n));
  else if (act === 2) return { of: 1 + random.below(13), items };
  else if (items[i] !== undefined) items[i] = otherValue(random, items[i]);
  return { of: value.of, items };
}

/** The value of a field, where there is one. @param {Value | undefined} fields @param {number} id */
export const fieldOf = (fields, id) =>
  Array.isArray(fields) ? fields.find((field) => field.id === id)?.value : undefined;
