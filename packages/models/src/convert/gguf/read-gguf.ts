import type { SourceFile } from "../files/source-file.js";
import {
  ALIGNMENT,
  alignedTo,
  GGUF_TYPES,
  type GgufMetadata,
  type GgufTensor,
  type GgufType,
  type GgufValue,
  TENSOR_TYPES,
  type TensorType,
} from "./values.js";

/** What stands before the data of a file. */
export interface GgufHeader {
  readonly metadata: GgufMetadata;
  readonly tensors: readonly GgufTensor[];
  /** Byte at which the data begins. */
  readonly dataStart: number;
}

/**
 * Reads the header of a GGUF file of version 2 or 3.
 *
 * @throws FormatError naming file and byte; counts and lengths are checked against what the file has left before
 * anything is allocated.
 */
export async function readGgufHeader(file: SourceFile): Promise<GgufHeader> {
  const cursor = new Cursor(file);
  const magic = Buffer.from(await cursor.bytes(4)).toString("latin1");
  if (magic !== "GGUF") throw file.bad(0, "the file does not begin with GGUF");
  const version = await cursor.number("u32");
  if (version !== 2 && version !== 3) throw file.bad(4, `the file has version ${version}; 2 and 3 are read`);
  const tensorCount = await cursor.count(24);
  const valueCount = await cursor.count(13);
  const metadata = new Map<string, GgufValue>();
  for (let i = 0; i < valueCount; i++) {
    const key = await cursor.text();
    metadata.set(key, await valueAt(cursor));
  }
  const tensors: GgufTensor[] = [];
  for (let i = 0; i < tensorCount; i++) tensors.push(await tensorAt(cursor));
  const alignment = metadata.get("general.alignment");
  const step = alignment === undefined ? ALIGNMENT : Number(alignment.value);
  if (!(Number.isInteger(step) && step >= 1 && step <= 1 << 20)) {
    throw file.bad(cursor.at, `general.alignment must be a size, got ${String(alignment?.value)}`);
  }
  return { metadata, tensors, dataStart: alignedTo(cursor.at, step) };
}

async function valueAt(cursor: Cursor): Promise<GgufValue> {
  const type = await typeAt(cursor);
  if (type !== "array") return { type, value: await scalarAt(cursor, type) } as GgufValue;
  const of = await typeAt(cursor);
  if (of === "array") throw cursor.bad("arrays of arrays are not read");
  const count = await cursor.count(of === "string" ? 8 : SIZES[of]);
  const value: (number | boolean | string)[] = [];
  for (let i = 0; i < count; i++) value.push(await scalarAt(cursor, of));
  return { type, of, value };
}

async function typeAt(cursor: Cursor): Promise<GgufType> {
  const number = await cursor.number("u32");
  const type = GGUF_TYPES[number];
  if (type === undefined) throw cursor.bad(`there is no type of values ${number}`);
  return type;
}

async function scalarAt(
  cursor: Cursor,
  type: Exclude<GgufType, "array">,
): Promise<number | boolean | string> {
  if (type === "string") return cursor.text();
  const value = await cursor.number(type);
  return type === "bool" ? value !== 0 : value;
}

async function tensorAt(cursor: Cursor): Promise<GgufTensor> {
  const name = await cursor.text();
  const axes = await cursor.number("u32");
  if (axes < 1 || axes > 4) throw cursor.bad(`tensor "${name}" has ${axes} axes`);
  const sizes: number[] = [];
  for (let i = 0; i < axes; i++) sizes.push(await cursor.number("u64"));
  const number = await cursor.number("u32");
  const type = (Object.keys(TENSOR_TYPES) as TensorType[]).find((key) => TENSOR_TYPES[key] === number);
  if (type === undefined) {
    const known = Object.keys(TENSOR_TYPES).join(", ");
    throw cursor.bad(`tensor "${name}" has the encoding ${number}, which is not read (${known} are)`);
  }
  return { name, sizes, type, offset: await cursor.number("u64") };
}

type NumberType = Exclude<GgufType, "array" | "string">;

const SIZES: Readonly<Record<NumberType, number>> = {
  u8: 1,
  i8: 1,
  bool: 1,
  u16: 2,
  i16: 2,
  u32: 4,
  i32: 4,
  f32: 4,
  u64: 8,
  i64: 8,
  f64: 8,
};

/** Bytes that are read at once. */
const WINDOW = 1 << 20;

/** Reads one value after another. */
class Cursor {
  readonly #file: SourceFile;
  #window: DataView = new DataView(new ArrayBuffer(0));
  #start = 0;
  at = 0;

  constructor(file: SourceFile) {
    this.#file = file;
  }

  bad(what: string): Error {
    return this.#file.bad(this.at, what);
  }

  /** Goes on by some bytes; where they begin in the window. */
  async #take(length: number): Promise<number> {
    const { size } = this.#file;
    if (length > size - this.at) {
      throw this.bad(`${length} bytes are wanted, but the file has ${size - this.at} more; it is cut off`);
    }
    if (this.at + length > this.#start + this.#window.byteLength) {
      const bytes = await this.#file.read(this.at, Math.min(Math.max(length, WINDOW), size - this.at));
      this.#window = new DataView(bytes.buffer);
      this.#start = this.at;
    }
    const at = this.at - this.#start;
    this.at += length;
    return at;
  }

  async bytes(length: number): Promise<Uint8Array> {
    const at = await this.#take(length);
    return new Uint8Array(this.#window.buffer, at, length);
  }

  async number(type: NumberType): Promise<number> {
    const at = await this.#take(SIZES[type]);
    const view = this.#window;
    switch (type) {
      case "u8":
      case "bool":
        return view.getUint8(at);
      case "i8":
        return view.getInt8(at);
      case "u16":
        return view.getUint16(at, true);
      case "i16":
        return view.getInt16(at, true);
      case "u32":
        return view.getUint32(at, true);
      case "i32":
        return view.getInt32(at, true);
      case "f32":
        return view.getFloat32(at, true);
      case "f64":
        return view.getFloat64(at, true);
      case "u64":
        return Number(view.getBigUint64(at, true));
      case "i64":
        return Number(view.getBigInt64(at, true));
    }
  }

  /** A number of things of at least `size` bytes each. */
  async count(size: number): Promise<number> {
    const count = await this.number("u64");
    if (count * size > this.#file.size - this.at) {
      throw this.bad(`${count} values are announced, for which the file is too short`);
    }
    return count;
  }

  async text(): Promise<string> {
    const length = await this.count(1);
    return Buffer.from(await this.bytes(length)).toString("utf8");
  }
}
