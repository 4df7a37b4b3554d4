// Changes of Parquet files: of the metadata at the end, of the heads of pages, and of the bytes of pages.
import { joined, mutateBytes, numberAt, putNumber } from "./bytes.mjs";
import { perSample } from "./per-sample.mjs";
import { fieldOf, mutateStruct, structBytes, structIn } from "./thrift.mjs";

/** @typedef {import("../random.mjs").Random} Random */
/** @typedef {import("./thrift.mjs").Field} Field */
/** @typedef {import("./thrift.mjs").Value} Value */

/** Length of the metadata and the letters behind it. */
const TAIL = 8;

/** Fields of the format, by their numbers: https://github.com/apache/parquet-format */
const ROW_GROUPS = 4;
const COLUMNS = 1;
const COLUMN_METADATA = 3;
const DATA_PAGE = 9;
const DICTIONARY_PAGE = 11;
const COMPRESSED_SIZE = 3;

/** @typedef {{ fields: Field[], pages: number[], data: Uint8Array }} Parts - Places where pages begin, and all before the metadata. */

const partsIn = perSample(partsOf);

/** @param {Uint8Array} bytes @returns {Parts} */
function partsOf(bytes) {
  const length = Number(numberAt(bytes, bytes.length - TAIL, 4));
  const data = bytes.subarray(0, bytes.length - TAIL - length);
  const { fields } = structIn(bytes, data.length);
  return {
    fields,
    data,
    pages: itemsOf(fieldOf(fields, ROW_GROUPS))
      .flatMap(chunksOf)
      .flatMap((chunk) => pagesOf(bytes, chunk)),
  };
}

/** @param {Value | undefined} list */
const itemsOf = (list) => (typeof list === "object" && "items" in list ? list.items : []);

/** @param {Value} group */
const chunksOf = (group) => itemsOf(fieldOf(group, COLUMNS)).map((chunk) => fieldOf(chunk, COLUMN_METADATA));

/** The first pages of a column's part. @param {Uint8Array} bytes @param {Value | undefined} chunk */
function pagesOf(bytes, chunk) {
  const pages = [];
  const first = Number(fieldOf(chunk, DICTIONARY_PAGE) ?? fieldOf(chunk, DATA_PAGE));
  for (const place of new Set([first, Number(fieldOf(chunk, DATA_PAGE))])) {
    const { fields, end } = structIn(bytes, place);
    if (end + Number(fieldOf(fields, COMPRESSED_SIZE)) <= bytes.length) pages.push(place);
  }
  return pages;
}

/** The metadata as it is where what stands from a place on has moved. @param {Field[]} fields @param {number} from @param {number} by @returns {Field[]} */
function moved(fields, from, by) {
  return fields.map((field) => {
    const { id, value } = field;
    const isPlace =
      typeof value === "bigint" && (id === DATA_PAGE || id === DICTIONARY_PAGE) && Number(value) > from;
    return { ...field, value: isPlace ? value + BigInt(by) : movedIn(value, from, by) };
  });
}

/** @param {Value} value @param {number} from @param {number} by @returns {Value} */
function movedIn(value, from, by) {
  if (typeof value !== "object" || value instanceof Uint8Array) return value;
  if (Array.isArray(value)) return moved(value, from, by);
  return { ...value, items: value.items.map((item) => movedIn(item, from, by)) };
}

/** @param {Random} random @param {Uint8Array} original @returns {Uint8Array} */
export function mutateParquet(random, original) {
  if (random.once(6)) return mutateBytes(random, original);
  const parts = partsIn(original);
  let { fields, data } = parts;
  switch (random.below(3)) {
    case 0:
      for (let left = random.few(4); left > 0; left--) fields = mutateStruct(random, fields);
      break;
    case 1: {
      const place = random.pick(parts.pages);
      const { fields: head, end } = structIn(data, place);
      let other = mutateStruct(random, head);
      for (let left = random.few(3); left > 1; left--) other = mutateStruct(random, other);
      const written = structBytes(other);
      data = joined(data.subarray(0, place), written, data.subarray(end));
      fields = moved(fields, place, written.length - (end - place));
      break;
    }
    default: {
      // What pages hold, after their heads; nothing else knows how long it is.
      const { end } = structIn(data, random.pick(parts.pages));
      const other = mutateBytes(random, data.subarray(end, end + 64));
      const same = new Uint8Array(Math.min(64, data.length - end));
      same.set(other.subarray(0, same.length));
      data = joined(data.subarray(0, end), same, data.subarray(end + same.length));
    }
  }
  const metadata = structBytes(fields);
  const tail = new Uint8Array(TAIL);
  putNumber(tail, 0, 4, BigInt(metadata.length));
  tail.set(Buffer.from("PAR1"), 4);
  return joined(data, metadata, tail);
}
