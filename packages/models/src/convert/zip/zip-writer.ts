//! Archives as torch reads them: files as they are, each aligned so that it can be mapped.
// Libraries for archives write no padding before a file, which mapping needs.
import { crc32 } from "node:zlib";
import type { NewFile } from "../files/new-file.js";

/** Files begin at multiples of it, as torch lays them out. */
const ALIGN = 64;

interface Written {
  readonly name: Buffer;
  readonly start: number;
  readonly size: number;
  readonly crc: number;
}

/** Writes one file after another into an archive. Sizes beyond 4 GiB and many files are noted in the 64-bit form. */
export class ZipWriter {
  readonly #file: NewFile;
  readonly #written: Written[] = [];

  constructor(file: NewFile) {
    this.#file = file;
  }

  /** Adds a file of `size` bytes, which `write` gives part by part. */
  async add(
    name: string,
    size: number,
    write: (put: (bytes: Uint8Array) => Promise<void>) => Promise<void>,
  ): Promise<void> {
    const start = this.#file.end;
    const entry = { name: Buffer.from(name), start, size, crc: 0 };
    const head = localHeader(entry);
    // What the sum is, is known once all has been written; its place is taken before.
    await this.#file.writeAt(start, head);
    let crc = 0;
    let done = 0;
    await write(async (bytes) => {
      crc = crc32(bytes, crc);
      done += bytes.length;
      await this.#file.append(bytes);
    });
    if (done !== size) throw new Error(`${name} has ${done} bytes, announced were ${size}`);
    const written = { ...entry, crc };
    await this.#file.writeAt(start, localHeader(written));
    this.#written.push(written);
  }

  /** Adds a file that is in memory. */
  addBytes(name: string, bytes: Uint8Array): Promise<void> {
    return this.add(name, bytes.length, (put) => put(bytes));
  }

  /** Writes the list of files, with which the archive is whole. */
  async end(): Promise<void> {
    const start = this.#file.end;
    for (const entry of this.#written) await this.#file.append(centralHeader(entry));
    await this.#file.append(endOf(this.#written.length, start, this.#file.end - start));
  }
}

const MAX = 0xffffffff;

/** Sizes in the 64-bit form; always there, so that a header has the same length whatever the sizes. */
function sizes64(size: number, start?: number): Buffer {
  const out = Buffer.alloc(start === undefined ? 20 : 28);
  out.writeUInt16LE(1, 0);
  out.writeUInt16LE(out.length - 4, 2);
  out.writeBigUInt64LE(BigInt(size), 4);
  out.writeBigUInt64LE(BigInt(size), 12);
  if (start !== undefined) out.writeBigUInt64LE(BigInt(start), 20);
  return out;
}

/** Fills up to the alignment; torch's own files have a field of this name. */
function padding(at: number): Buffer {
  const out = Buffer.alloc(4 + ((ALIGN - ((at + 4) % ALIGN)) % ALIGN), "Z");
  out.write("FB", 0, "latin1");
  out.writeUInt16LE(out.length - 4, 2);
  return out;
}

/** What the two headers of a file have in common, from the version that is needed on. */
function common({ name, crc }: Written, extra: number): Buffer {
  const out = Buffer.alloc(26);
  out.writeUInt16LE(45, 0);
  // Stored, no flags but that names are UTF-8; the first day that the format knows.
  out.writeUInt16LE(1 << 11, 2);
  out.writeUInt16LE(0x21, 8);
  out.writeUInt32LE(crc, 10);
  out.writeUInt32LE(MAX, 14);
  out.writeUInt32LE(MAX, 18);
  out.writeUInt16LE(name.length, 22);
  out.writeUInt16LE(extra, 24);
  return out;
}

function localHeader(entry: Written): Buffer {
  const sizes = sizes64(entry.size);
  const pad = padding(entry.start + 30 + entry.name.length + sizes.length);
  return Buffer.concat([
    Buffer.from("PK\u0003\u0004", "latin1"),
    common(entry, sizes.length + pad.length),
    entry.name,
    sizes,
    pad,
  ]);
}

function centralHeader(entry: Written): Buffer {
  const sizes = sizes64(entry.size, entry.start);
  const rest = Buffer.alloc(14);
  rest.writeUInt32LE(MAX, 10);
  return Buffer.concat([
    Buffer.from("PK\u0001\u0002\u002d\u0000", "latin1"),
    common(entry, sizes.length),
    rest,
    entry.name,
    sizes,
  ]);
}

function endOf(count: number, start: number, length: number): Buffer {
  const end = Buffer.alloc(56 + 20 + 22);
  end.write("PK\u0006\u0006", 0, "latin1");
  end.writeBigUInt64LE(44n, 4);
  end.writeUInt16LE(45, 12);
  end.writeUInt16LE(45, 14);
  end.writeBigUInt64LE(BigInt(count), 24);
  end.writeBigUInt64LE(BigInt(count), 32);
  end.writeBigUInt64LE(BigInt(length), 40);
  end.writeBigUInt64LE(BigInt(start), 48);
  end.write("PK\u0006\u0007", 56, "latin1");
  end.writeBigUInt64LE(BigInt(start + length), 64);
  end.writeUInt32LE(1, 72);
  end.write("PK\u0005\u0006", 76, "latin1");
  end.writeUInt16LE(0xffff, 84);
  end.writeUInt16LE(0xffff, 86);
  end.writeUInt32LE(MAX, 88);
  end.writeUInt32LE(MAX, 92);
  return end;
}
