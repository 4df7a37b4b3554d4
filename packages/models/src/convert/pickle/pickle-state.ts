//! Writes the pickle of a state dictionary: tensors by name, each with a storage of its own.

/** A tensor of the dictionary. */
export interface PickledTensor {
  readonly name: string;
  /** As torch calls the class, such as `BFloat16Storage`. */
  readonly storage: string;
  /** Name of the record with its numbers. */
  readonly key: string;
  readonly shape: readonly number[];
}

/**
 * `OrderedDict` of tensors in protocol 2, with the names alone that torch's `weights_only` allows.
 *
 * @see https://docs.python.org/3/library/pickletools.html
 */
export function pickleState(tensors: readonly PickledTensor[]): Uint8Array {
  const out = new Pickler();
  out.bytes(0x80, 2).global("collections", "OrderedDict").bytes(EMPTY_TUPLE, REDUCE, MARK);
  for (const { name, storage, key, shape } of tensors) {
    const elements = shape.reduce((product, size) => product * size, 1);
    const strides = shape.map((_, axis) =>
      shape.slice(axis + 1).reduce((product, size) => product * size, 1),
    );
    out.text(name).global("torch._utils", "_rebuild_tensor_v2").bytes(MARK);
    out.bytes(MARK).text("storage").global("torch", storage).text(key).text("cpu").integer(elements);
    out.bytes(TUPLE, BINPERSID).integer(0).integers(shape).integers(strides).bytes(NEWFALSE);
    out.global("collections", "OrderedDict").bytes(EMPTY_TUPLE, REDUCE, TUPLE, REDUCE);
  }
  return out.bytes(SETITEMS, STOP).take();
}

const [MARK, TUPLE, EMPTY_TUPLE, REDUCE, BINPERSID, NEWFALSE, SETITEMS, STOP] = [
  0x28, 0x74, 0x29, 0x52, 0x51, 0x89, 0x75, 0x2e,
] as const;

class Pickler {
  readonly #parts: Uint8Array[] = [];

  bytes(...bytes: readonly number[]): this {
    this.#parts.push(Uint8Array.from(bytes));
    return this;
  }

  text(text: string): this {
    const utf8 = Buffer.from(text);
    const head = Buffer.alloc(5);
    head[0] = 0x58;
    head.writeUInt32LE(utf8.length, 1);
    this.#parts.push(head, utf8);
    return this;
  }

  global(module: string, name: string): this {
    this.#parts.push(Buffer.from(`c${module}\n${name}\n`));
    return this;
  }

  /** A size, which is not below 0. */
  integer(value: number): this {
    const out = Buffer.alloc(10);
    if (value < 1 << 30) {
      out[0] = 0x4a;
      out.writeInt32LE(value, 1);
      this.#parts.push(out.subarray(0, 5));
    } else {
      // LONG1 of 8 bytes
      out[0] = 0x8a;
      out[1] = 8;
      out.writeBigInt64LE(BigInt(value), 2);
      this.#parts.push(out);
    }
    return this;
  }

  integers(values: readonly number[]): this {
    this.bytes(MARK);
    for (const value of values) this.integer(value);
    return this.bytes(TUPLE);
  }

  take(): Uint8Array {
    return Buffer.concat(this.#parts);
  }
}
