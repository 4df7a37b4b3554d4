// Changes of files of torch.save: of the instructions of their pickle, and of the archive around it.
import { crc32 } from "node:zlib";
import { EDGES, joined, mutateBytes, numberAt, putNumber } from "./bytes.mjs";
import { perSample } from "./per-sample.mjs";

/** @typedef {import("../random.mjs").Random} Random */
/** @typedef {[name: string, bytes: Uint8Array]} StoredFile */

/** Bytes of an instruction's argument, where it has one of fixed length. @type {Readonly<Record<number, number>>} */
const FIXED = { 128: 1, 149: 8, 74: 4, 75: 1, 77: 2, 71: 8, 113: 1, 114: 4, 104: 1, 106: 4 };
/** Bytes of the length before an argument. @type {Readonly<Record<number, number>>} */
const PREFIXED = { 138: 1, 88: 4, 140: 1, 141: 8, 84: 4, 85: 1, 66: 4, 67: 1 };

/** The instructions of a pickle that is right. @param {Uint8Array} bytes @returns {Uint8Array[]} */
function instructionsOf(bytes) {
  const list = [];
  for (let at = 0; at < bytes.length; ) {
    const code = bytes[at];
    let length = 1 + (FIXED[code] ?? 0);
    const prefix = PREFIXED[code];
    if (prefix !== undefined) length += prefix + Number(numberAt(bytes, at + 1, prefix));
    if (code === 0x63) length = bytes.indexOf(10, bytes.indexOf(10, at) + 1) + 1 - at;
    list.push(bytes.slice(at, at + length));
    at += length;
  }
  return list;
}

/** @param {string} text */
const latin = (text) => new Uint8Array(Buffer.from(text, "latin1"));

/** Instructions that a file could add. */
const PARTS = [
  "(",
  ")",
  "t",
  "]",
  "}",
  "e",
  "a",
  "s",
  "u",
  "R",
  "b",
  "Q",
  "N",
  ".",
  "0",
  "1",
  "2",
  "\x81",
  "\x85",
  "\x86",
  "\x87",
  "\x94",
  "\x93",
  "q\x00",
  "h\x00",
  "r\xff\xff\xff\xff",
  "j\xff\xff\xff\xff",
  "K\x00",
  "K\x01",
  "J\xff\xff\xff\xff",
  "J\xff\xff\xff\x7f",
  "\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f",
  "\x8a\xff",
  "X\xff\xff\xff\xff",
  "\x8d\xff\xff\xff\xff\xff\xff\xff\x7f",
  "G\x7f\xf8\x00\x00\x00\x00\x00\x00",
  "X\x05\x00\x00\x00model",
  "X\x10\x00\x00\x00model_state_dict",
  "X\x09\x00\x00\x00__proto__",
  "U\x03abc",
  "C\x03abc",
  "cos\nsystem\n",
  "cbuiltins\neval\n",
  "ccollections\nOrderedDict\n",
  "ccollections\ndefaultdict\n",
  "ctorch\nSize\n",
  "ctorch\nFloatStorage\n",
  "ctorch._utils\n_rebuild_tensor_v2\n",
  "ctorch._utils\n_rebuild_parameter\n",
  "ctorch\ndevice\n",
  "c_codecs\nencode\n",
  "c\n\n",
  "ios\nsystem\n",
  "](h\x00h\x00e",
  "}(h\x00h\x00u",
  "q\x01h\x01h\x01\x86",
  "\x80\x02",
  "\x80\xff",
].map(latin);

/** @param {Random} random @param {Uint8Array} pickle @returns {Uint8Array} */
function mutatedPickle(random, pickle) {
  const out = [...instructionsIn(pickle)];
  for (let left = random.few(6); left > 0; left--) {
    const i = random.below(out.length);
    switch (random.below(7)) {
      case 0:
        out.splice(i, 1 + random.below(random.pick([1, 4, 40])));
        break;
      case 1:
        out.splice(i, 0, ...out.slice(i, i + 1 + random.below(16)));
        break;
      case 2:
        out.splice(i, 0, out[random.below(out.length)]);
        break;
      case 3:
        out.splice(i, 0, ...Array(random.pick([1, 10, 1000])).fill(random.pick(PARTS)));
        break;
      case 4:
        if (out[i] !== undefined) out[i] = mutateBytes(random, out[i]);
        break;
      case 5:
        if (out[i] !== undefined && out[i].length > 1) {
          out[i] = out[i].slice();
          putNumber(out[i], 1, out[i].length - 1, random.pick(EDGES));
        }
        break;
      default:
        out.splice(i, 0, random.pick(PARTS), random.pick(PARTS));
    }
  }
  return joined(...out);
}

const instructionsIn = perSample(instructionsOf);

/** An archive of files as they are. @param {readonly StoredFile[]} files */
function archive(files) {
  /** @type {Uint8Array[]} */
  const parts = [];
  /** @type {Uint8Array[]} */
  const list = [];
  let at = 0;
  for (const [name, bytes] of files) {
    const common = Buffer.alloc(26);
    common.writeUInt16LE(20, 0);
    common.writeUInt32LE(crc32(bytes), 10);
    common.writeUInt32LE(bytes.length, 14);
    common.writeUInt32LE(bytes.length, 18);
    common.writeUInt16LE(name.length, 22);
    const rest = Buffer.alloc(14);
    rest.writeUInt32LE(at, 10);
    list.push(joined(latin("PK\x01\x02\x14\x00"), common, rest, latin(name)));
    const local = joined(latin("PK\x03\x04"), common, latin(name), bytes);
    parts.push(local);
    at += local.length;
  }
  const end = Buffer.alloc(22);
  end.write("PK\x05\x06", 0, "latin1");
  end.writeUInt16LE(files.length, 8);
  end.writeUInt16LE(files.length, 10);
  end.writeUInt32LE(
    list.reduce((sum, entry) => sum + entry.length, 0),
    12,
  );
  end.writeUInt32LE(at, 16);
  return joined(...parts, ...list, end);
}

/** The files of an archive without compression, as its local headers have them. @param {Uint8Array} bytes @returns {StoredFile[]} */
export function storedFiles(bytes) {
  /** @type {StoredFile[]} */
  const files = [];
  const buffer = Buffer.from(bytes);
  for (let at = 0; buffer.readUInt32LE(at) === 0x04034b50; ) {
    const [nameLength, extraLength] = [buffer.readUInt16LE(at + 26), buffer.readUInt16LE(at + 28)];
    const name = buffer.toString("utf8", at + 30, at + 30 + nameLength);
    const extra = at + 30 + nameLength;
    const short = buffer.readUInt32LE(at + 18);
    // Sizes of the 64-bit form stand first among the extra fields.
    const size = short === 0xffffffff ? Number(buffer.readBigUInt64LE(extra + 4)) : short;
    const start = extra + extraLength;
    files.push([name, new Uint8Array(buffer.subarray(start, start + size))]);
    at = start + size;
  }
  return files;
}

/** @param {Random} random @param {Uint8Array} whole @param {readonly StoredFile[]} files @returns {Uint8Array} */
export function mutateArchive(random, whole, files) {
  if (random.once(4)) return mutateBytes(random, whole);
  const changed = files.map(([name, bytes]) => {
    if (name.endsWith(".pkl")) return /** @type {StoredFile} */ ([name, mutatedPickle(random, bytes)]);
    return /** @type {StoredFile} */ ([name, random.once(30) ? mutateBytes(random, bytes) : bytes]);
  });
  if (random.once(12)) changed.splice(random.below(changed.length), 1);
  if (random.once(12)) changed.push(changed[random.below(changed.length)]);
  if (random.once(20))
    changed[0] = [random.pick(["data.pkl", "a/b/data.pkl", "../data.pkl", "/data.pkl", ""]), changed[0][1]];
  const built = archive(changed);
  return random.once(12) ? mutateBytes(random, built) : built;
}
