//! Event files for TensorBoard: TFRecord frames around `Event` messages of tensorflow/core/util/event.proto.
import { type FileHandle, mkdir, open } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { asFileError } from "../checkpoint/durable.js";
import { maskedCrc32c } from "./crc32c.js";

/** Wire types of protocol buffers. */
const VARINT = 0;
const FIXED64 = 1;
const BYTES = 2;
const FIXED32 = 5;

const key = (field: number, type: number): Buffer => Buffer.from([(field << 3) | type]);

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = BigInt(value);
  while (rest > 127n) {
    bytes.push(Number(rest & 127n) | 128);
    rest >>= 7n;
  }
  bytes.push(Number(rest));
  return Buffer.from(bytes);
}

function double(field: number, value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeDoubleLE(value);
  return Buffer.concat([key(field, FIXED64), bytes]);
}

function float(field: number, value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeFloatLE(value);
  return Buffer.concat([key(field, FIXED32), bytes]);
}

const integer = (field: number, value: number): Buffer => Buffer.concat([key(field, VARINT), varint(value)]);

function message(field: number, body: Buffer | string): Buffer {
  const bytes = Buffer.from(body as string);
  return Buffer.concat([key(field, BYTES), varint(bytes.length), bytes]);
}

/** Fields of `Event`, `Summary`, `Summary.Value` and `SessionLog`. */
const wallTime = (seconds: number): Buffer => double(1, seconds);
const atStep = (step: number): Buffer => integer(2, step);
const fileVersion = message(3, "brain.Event:2");
const summary = (values: readonly Buffer[]): Buffer =>
  message(5, Buffer.concat(values.map((v) => message(1, v))));
const scalar = (tag: string, value: number): Buffer => Buffer.concat([message(1, tag), float(2, value)]);
const sessionStart = message(7, integer(1, 1));

/** A frame: length, CRC of the length, data, CRC of the data. */
export function frame(data: Buffer): Buffer {
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(data.length));
  const crc = (bytes: Buffer): Buffer => {
    const out = Buffer.alloc(4);
    out.writeUInt32LE(maskedCrc32c(bytes));
    return out;
  };
  return Buffer.concat([length, crc(length), data, crc(data)]);
}

/** Writes scalars where TensorBoard finds them. */
export class TensorBoardWriter {
  readonly path: string;
  readonly #file: FileHandle;

  private constructor(path: string, file: FileHandle) {
    this.path = path;
    this.#file = file;
  }

  /**
   * Begins a file in `folder`. TensorBoard then drops what older files there say of `step` and later, as is right after
   * a resume.
   *
   * @throws FileError if it cannot be written.
   */
  static async create(folder: string, step: number): Promise<TensorBoardWriter> {
    try {
      await mkdir(folder, { recursive: true });
      // Readers take the files in the order of their names, which the time must lead.
      const stamp = (Date.now() / 1000).toFixed(3).padStart(14, "0");
      const path = join(folder, `events.out.tfevents.${stamp}.${hostname()}.${process.pid}`);
      const writer = new TensorBoardWriter(path, await open(path, "ax"));
      await writer.#write(Buffer.concat([wallTime(Date.now() / 1000), fileVersion]));
      await writer.#write(Buffer.concat([wallTime(Date.now() / 1000), atStep(step), sessionStart]));
      return writer;
    } catch (error) {
      throw asFileError(error, folder, "write");
    }
  }

  /** Adds the values of a step by their tags. Those that are undefined are left out. */
  async scalars(step: number, values: Readonly<Record<string, number | undefined>>): Promise<void> {
    const known = Object.entries(values).filter((entry): entry is [string, number] => entry[1] !== undefined);
    const event = [
      wallTime(Date.now() / 1000),
      atStep(step),
      summary(known.map(([tag, value]) => scalar(tag, value))),
    ];
    await this.#write(Buffer.concat(event));
  }

  async #write(event: Buffer): Promise<void> {
    try {
      await this.#file.appendFile(frame(event));
    } catch (error) {
      throw asFileError(error, this.path, "write");
    }
  }

  async close(): Promise<void> {
    await this.#file.close();
  }
}
