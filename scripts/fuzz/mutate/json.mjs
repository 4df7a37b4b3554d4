// Changes of JSON as a tree: other values, keys that are missing, twice or strange, numbers beyond what they count.
import { mutateBytes } from "./bytes.mjs";
import { perSample } from "./per-sample.mjs";

/** @typedef {import("../random.mjs").Random} Random */
/** @typedef {null | boolean | number | string | Raw | Entries | Json[]} Json */

/** Text that stands as it is, whether it is JSON or not. */
class Raw {
  /** @param {string} text */
  constructor(text) {
    this.text = text;
  }
}

/** An object whose keys may occur twice. */
class Entries {
  /** @param {[string, Json][]} list */
  constructor(list) {
    this.list = list;
  }
}

/** @param {unknown} value @returns {Json} */
function fromValue(value) {
  if (Array.isArray(value)) return value.map(fromValue);
  if (typeof value === "object" && value !== null) {
    return new Entries(Object.entries(value).map(([key, entry]) => [key, fromValue(entry)]));
  }
  return /** @type {Json} */ (value);
}

/** @param {Json} value @returns {string} */
function textOf(value) {
  if (value instanceof Raw) return value.text;
  if (value instanceof Entries) {
    return `{${value.list.map(([key, entry]) => `${JSON.stringify(key)}:${textOf(entry)}`).join(",")}}`;
  }
  if (Array.isArray(value)) return `[${value.map(textOf).join(",")}]`;
  return JSON.stringify(value) ?? "null";
}

const NUMBERS = [
  0,
  -0,
  1,
  -1,
  2,
  3,
  7,
  0.5,
  1.5,
  -2.5,
  1e-300,
  1e300,
  127,
  128,
  255,
  256,
  65535,
  65536,
  1e5,
  1e6,
  1e9,
  2 ** 31 - 1,
  2 ** 31,
  2 ** 32 - 1,
  2 ** 32,
  2 ** 53 - 1,
  2 ** 53,
  2 ** 63,
  2 ** 64,
  -(2 ** 31),
  -(2 ** 63),
];
const KEYS = ["__proto__", "constructor", "toString", "length", "", "0", "type", "__metadata__", "then"];
const RAW = [
  "1e999",
  "-1e999",
  "1E400",
  "NaN",
  "Infinity",
  "undefined",
  "01",
  "'a'",
  '"\\ud800"',
  '"\\u0000"',
  "18446744073709551616",
  "123456789012345678901234567890",
  "0.1e-400",
  "{}",
  "[]",
  '""',
  "[[]]",
  "[{}]",
  '{"a":1,"a":2}',
  "\u00a0",
  "",
];

/** @param {Random} random @returns {Json} */
function newValue(random) {
  switch (random.below(9)) {
    case 0:
      return null;
    case 1:
      return random.once(2);
    case 2:
    case 3:
      return random.pick(NUMBERS);
    case 4:
      return random.pick([
        "",
        "a",
        "../../a",
        "\u0000",
        "\ud83d\ude00",
        "x".repeat(random.below(2000)),
        "-1",
        "F32",
        "U32",
      ]);
    case 5:
      return new Raw(random.pick(RAW));
    case 6: {
      const [open, close] = random.pick([
        ["[", "]"],
        ['{"a":', "}"],
        ['{"type":"Sequence","pretokenizers":[', "]}"],
      ]);
      const depth = random.pick([3, 100, 127, 129, 1000, 20_000]);
      return new Raw(
        open.repeat(depth) + (open === "[" ? "" : "1") + close.repeat(random.once(4) ? depth - 1 : depth),
      );
    }
    case 7:
      return Array.from({ length: random.pick([0, 1, 3, 17, 300]) }, () => random.pick(NUMBERS));
    default:
      return new Entries([[random.pick(KEYS), random.pick(NUMBERS)]]);
  }
}

/** A number near the one that stands there. @param {Random} random @param {number} value */
const otherNumber = (random, value) =>
  random.pick([
    value + 1,
    value - 1,
    -value,
    value * 2,
    value / 2,
    value + 0.5,
    value * 1024,
    random.pick(NUMBERS),
  ]);

/**
 * How a tree is changed. A gentle change leaves values of their kinds, so that it comes past what looks at kinds alone.
 *
 * @typedef {{ random: Random, gentle: boolean, texts: readonly string[] }} Way - `texts` are the ones of the tree.
 */

/** @param {Way} way @param {Json} value @returns {Json} */
function changedValue({ random, gentle, texts }, value) {
  if (gentle && typeof value === "boolean") return !value;
  if (gentle && typeof value === "string" && random.once(2)) return random.pick(texts);
  if (typeof value === "number" && (gentle || !random.once(3))) return otherNumber(random, value);
  if (typeof value === "boolean" && random.once(2)) return !value;
  if (typeof value === "string" && (gentle || random.once(2))) {
    const at = random.below(value.length + 1);
    return (
      value.slice(0, at) +
      random.pick(["", "\u0000", "/", "..", "\ufffd", "a".repeat(random.below(200)), value]) +
      value.slice(at + random.below(3))
    );
  }
  return newValue(random);
}

/** One change somewhere, the likelier the higher; the rest is shared. @param {Way} way @param {Json} node @returns {Json} */
function edited(way, node) {
  const { random, gentle } = way;
  const size = node instanceof Entries ? node.list.length : Array.isArray(node) ? node.length : 0;
  if (gentle && size === 0 && typeof node === "object") return node;
  if (size === 0 || (!gentle && random.once(12))) return changedValue(way, node);
  const i = random.below(size);
  const act = random.below(gentle ? 24 : 12);
  if (Array.isArray(node)) {
    const items = [...node];
    if (act === 0) items.splice(i, 1);
    else if (act === 1) items.splice(i, 0, items[random.below(size)]);
    else if (act === 2) items[i] = items[random.below(size)];
    else if (act === 3) items.push(...Array(random.pick([1, 64, 1000])).fill(items[i]));
    else items[i] = edited(way, items[i]);
    return items;
  }
  const list = [.../** @type {Entries} */ (node).list];
  const [key, value] = list[i];
  if (act === 0) list.splice(i, 1);
  else if (act === 1) list.push([key, random.once(2) ? value : changedValue(way, value)]);
  else if (act === 2) list[i] = [random.once(2) ? random.pick(KEYS) : list[random.below(size)][0], value];
  else if (act === 3) list[i] = [key, list[random.below(size)][1]];
  else if (act === 4 && !gentle) list.splice(i, 0, [random.pick(KEYS), newValue(random)]);
  else list[i] = [key, edited(way, value)];
  return new Entries(list);
}

/** @param {Json} node @returns {string[]} */
function textsIn(node) {
  if (typeof node === "string") return [node];
  if (Array.isArray(node)) return node.flatMap(textsIn);
  return node instanceof Entries ? node.list.flatMap(([, entry]) => textsIn(entry)) : [];
}

const treeIn = perSample((sample) => {
  const tree = fromValue(JSON.parse(Buffer.from(sample).toString("utf8")));
  return { tree, texts: textsIn(tree) };
});

/** Some changes of a text of JSON, which may be none afterwards. @param {Random} random @param {Uint8Array} original @returns {Uint8Array} */
export function mutateJson(random, original) {
  let { tree, texts } = treeIn(original);
  const way = { random, gentle: random.once(2), texts };
  for (let left = random.few(5); left > 0; left--) tree = edited(way, tree);
  const bytes = new Uint8Array(Buffer.from(textOf(tree)));
  return random.once(20) ? mutateBytes(random, bytes) : bytes;
}
