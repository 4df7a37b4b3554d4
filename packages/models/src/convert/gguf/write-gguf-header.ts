import {
  ALIGNMENT,
  alignedTo,
  GGUF_TYPES,
  type GgufMetadata,
  type GgufTensor,
  type GgufType,
  type GgufValue,
  TENSOR_TYPES,
} from "./values.js";

/** The header of a GGUF file of version 3, up to where the data begins. */
export function ggufHeader(metadata: GgufMetadata, tensors: readonly GgufTensor[]): Uint8Array {
  const out = new Out();
  out.raw(Buffer.from("GGUF")).number("u32", 3).number("u64", tensors.length).number("u64", metadata.size);
  for (const [key, value] of metadata) {
    out.text(key);
    out.value(value);
  }
  for (const { name, sizes, type, offset } of tensors) {
    out.text(name).number("u32", sizes.length);
    for (const size of sizes) out.number("u64", size);
    out.number("u32", TENSOR_TYPES[type]).number("u64", offset);
  }
  const header = out.take();
  return Buffer.concat([header, new Uint8Array(alignedTo(header.length, ALIGNMENT) - header.length)]);
}

class Out {
  readonly #parts: Uint8Array[] = [];

  raw(bytes: Uint8Array): this {
    this.#parts.push(bytes);
    return this;
  }

  number(type: GgufType, value: number): this {
    const out = Buffer.alloc(8);
    this.#parts.push(out.subarray(0, WRITE[type]!(out, value)));
    return this;
  }

  text(text: string): this {
    const utf8 = Buffer.from(text);
    return this.number("u64", utf8.length).raw(utf8);
  }

  value(value: GgufValue): void {
    this.number("u32", GGUF_TYPES.indexOf(value.type));
    if (value.type !== "array") {
      this.#scalar(value.type, value.value);
      return;
    }
    this.number("u32", GGUF_TYPES.indexOf(value.of)).number("u64", value.value.length);
    for (const item of value.value) this.#scalar(value.of, item);
  }

  #scalar(type: GgufType, value: number | boolean | string): void {
    if (type === "string") this.text(String(value));
    else this.number(type, Number(value));
  }

  take(): Buffer {
    return Buffer.concat(this.#parts);
  }
}

/** Writes a number and says how many bytes it has. */
const WRITE: Partial<Record<GgufType, (out: Buffer, value: number) => number>> = {
  u8: (out, value) => out.writeUInt8(value),
  bool: (out, value) => out.writeUInt8(value),
  i8: (out, value) => out.writeInt8(value),
  u16: (out, value) => out.writeUInt16LE(value),
  i16: (out, value) => out.writeInt16LE(value),
  u32: (out, value) => out.writeUInt32LE(value),
  i32: (out, value) => out.writeInt32LE(value),
  f32: (out, value) => out.writeFloatLE(value),
  f64: (out, value) => out.writeDoubleLE(value),
  u64: (out, value) => out.writeBigUInt64LE(BigInt(value)),
  i64: (out, value) => out.writeBigInt64LE(BigInt(value)),
};
