// Changes of protocol buffers: fields that are missing, twice, of another kind or longer than what holds them.
import { EDGES, joined, mutateBytes } from "./bytes.mjs";
import { perSample } from "./per-sample.mjs";
import { varintAt, varintOf } from "./varint.mjs";

/** @typedef {import("../random.mjs").Random} Random */
/** @typedef {{ number: number, kind: number, value: bigint | Uint8Array | Field[] }} Field */

/** @param {Uint8Array} bytes @param {ReadonlySet<number>} nested - Numbers of fields that are messages. @returns {Field[]} */
export function fieldsOf(bytes, nested) {
  /** @type {Field[]} */
  const fields = [];
  let at = 0;
  const varint = () => {
    const { value, end } = varintAt(bytes, at);
    at = end;
    return value;
  };
  while (at < bytes.length) {
    const key = Number(varint());
    const [number, kind] = [key >>> 3, key & 7];
    if (kind === 0) fields.push({ number, kind, value: varint() });
    else {
      const length = kind === 1 ? 8 : kind === 5 ? 4 : Number(varint());
      const part = bytes.slice(at, at + length);
      at += length;
      fields.push({
        number,
        kind,
        value: kind === 2 && nested.has(number) ? fieldsOf(part, new Set()) : part,
      });
    }
  }
  return fields;
}

/** Fields that are the same in one input after another. @type {WeakMap<Field, Uint8Array>} */
const WRITTEN = new WeakMap();

/** @param {Field[]} fields @param {(length: bigint) => bigint} [announced] - Another length than the true one. @returns {Uint8Array} */
export function bytesOf(fields, announced) {
  return joined(
    ...fields.map((field) => {
      const known = announced === undefined ? WRITTEN.get(field) : undefined;
      if (known !== undefined) return known;
      const written = fieldBytes(field, announced);
      if (announced === undefined) WRITTEN.set(field, written);
      return written;
    }),
  );
}

/** @param {Field} field @param {((length: bigint) => bigint) | undefined} announced */
function fieldBytes({ number, kind, value }, announced) {
  const key = varintOf((BigInt(number) << 3n) | BigInt(kind));
  if (typeof value === "bigint") return joined(key, varintOf(value));
  const inner = Array.isArray(value) ? bytesOf(value, announced) : value;
  if (kind !== 2) return joined(key, inner);
  const length = BigInt(inner.length);
  return joined(key, varintOf(announced === undefined ? length : announced(length)), inner);
}

/** @param {Random} random @param {Field[]} fields @returns {Field[]} */
function edited(random, fields) {
  if (fields.length === 0) return fields;
  const list = [...fields];
  // Of many alike the others are as interesting as the first ones.
  const i = random.once(2)
    ? list.length - 1 - random.below(Math.min(list.length, 4))
    : random.below(list.length);
  const field = list[i];
  switch (random.below(8)) {
    case 0:
      list.splice(i, 1 + random.below(random.pick([1, 8, list.length])));
      break;
    case 1:
      list.splice(i, 0, ...Array(random.pick([1, 2, 300])).fill(field));
      break;
    case 2:
      list[i] = {
        ...field,
        number: random.pick([0, 1, 2, 3, 4, 5, 24, 35, 40, 41, 2 ** 28, random.below(64)]),
      };
      break;
    case 3:
      list[i] = { ...field, kind: random.below(8) };
      break;
    case 4:
      [list[i], list[random.below(list.length)]] = [list[random.below(list.length)], field];
      break;
    default:
      list[i] = { ...field, value: editedValue(random, field.value) };
  }
  return list;
}

/** @param {Random} random @param {Field["value"]} value @returns {Field["value"]} */
function editedValue(random, value) {
  if (Array.isArray(value)) return edited(random, value);
  if (typeof value === "bigint") return random.once(2) ? random.pick(EDGES) : BigInt(random.below(10));
  return mutateBytes(random, value);
}

const treeIn = perSample(fieldsOf);

/** @param {Random} random @param {Uint8Array} original @param {ReadonlySet<number>} nested @returns {Uint8Array} */
export function mutateProtobuf(random, original, nested) {
  if (random.once(5)) return mutateBytes(random, original);
  let fields = treeIn(original, nested);
  for (let left = random.few(5); left > 0; left--) fields = edited(random, fields);
  if (!random.once(8)) return bytesOf(fields);
  return bytesOf(fields, (length) =>
    random.once(50) ? random.pick([length + 1n, length - 1n, random.pick(EDGES)]) : length,
  );
}
