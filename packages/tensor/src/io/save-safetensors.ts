import { randomBytes } from "node:crypto";
import { type FileHandle, open, rename, rm } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { FileError, UsageError } from "@openelm/native";
import { core } from "../core.js";
import type { DType } from "../dtype.js";
import { collect } from "../nursery.js";
import { bytes } from "../read.js";
import type { Tensor } from "../tensor.js";
import { FORMAT_DTYPES } from "./load-safetensors.js";

/** Options of {@link saveSafetensors}. */
export interface SaveOptions {
  /** Notes for the file; programs look for `format`. */
  readonly metadata?: Readonly<Record<string, string>> | undefined;
}

/** Tensors by name. */
export type NamedTensors = ReadonlyMap<string, Tensor> | Readonly<Record<string, Tensor>>;

/** The format's own order: wide dtypes first, so that every tensor is aligned to its elements. */
const DTYPE_ORDER: readonly DType[] = ["i64", "f64", "f32", "u32", "i32", "bf16", "f16", "i8", "u8", "bool"];

/**
 * Writes tensors into a safetensors file. They must not be written to before this resolves; they may be freed.
 *
 * The file appears under its name only when it is complete and on the disk; until then an older one of that name stays.
 * At most 64 MiB, or one tensor, are in host memory. Tensors lie in the order that the format's own library writes, so
 * that loading a file of that library and saving it again gives the same bytes.
 *
 * @throws FileError if the file cannot be written; UsageError if tensors of this process still lie in it.
 * @example
 * ```ts
 * await saveSafetensors("model.safetensors", { weight, bias }, { metadata: { format: "pt" } });
 * ```
 */
export async function saveSafetensors(
  path: string,
  tensors: NamedTensors,
  options: SaveOptions = {},
): Promise<void> {
  const file = resolve(path);
  refuseMapped(file);
  // What the caller frees or drops meanwhile is still written.
  const entries = inOrder(tensors).map(([name, tensor]) => [name, tensor._hold(false)] as const);
  const temporary = `${file}.${process.pid}-${randomBytes(4).toString("hex")}.tmp`;
  let handle: FileHandle | undefined;
  try {
    handle = await open(temporary, "wx");
    await writeAll(handle, header(entries, options.metadata ?? {}));
    for await (const data of readAhead(entries.map(([, tensor]) => tensor))) await writeAll(handle, data);
    await handle.sync();
    await handle.close();
    handle = undefined;
    refuseMapped(file);
    await rename(temporary, file);
    await syncDirectory(dirname(file));
  } catch (error) {
    await handle?.close();
    await rm(temporary, { force: true });
    if (isSystemError(error))
      throw new FileError(`cannot write ${file}: ${error.message}`, { path: file, cause: error });
    throw error;
  } finally {
    for (const [, tensor] of entries) tensor._unhold(false);
  }
}

/** Bytes that are read before they are written. */
const AHEAD = 64 << 20;

/**
 * The bytes of tensors, in order. A read waits for all that its device has in its queue, so while a program trains,
 * one read after another would take a step each.
 */
async function* readAhead(tensors: readonly Tensor[]): AsyncGenerator<Uint8Array, void, undefined> {
  const reads: Promise<Uint8Array>[] = [];
  let next = 0;
  let ahead = 0;
  for (const tensor of tensors) {
    while (next < tensors.length && (reads.length === 0 || ahead + tensors[next]!.byteLength <= AHEAD)) {
      ahead += tensors[next]!.byteLength;
      const read = bytes(tensors[next++]!);
      // Its error belongs to its turn; until then it must not count as unhandled.
      read.catch(() => undefined);
      reads.push(read);
    }
    yield await reads.shift()!;
    ahead -= tensor.byteLength;
  }
}

const isSystemError = (error: unknown): error is NodeJS.ErrnoException =>
  error instanceof Error && typeof (error as NodeJS.ErrnoException).syscall === "string";

function refuseMapped(file: string): void {
  if (!core.isMapped(file)) return;
  // Tensors that were dropped but not yet collected are no reason.
  collect();
  if (!core.isMapped(file)) return;
  throw new UsageError(
    `saveSafetensors: tensors of this process are mapped from ${file}; dispose them, load with { mmap: false }, or write elsewhere`,
  );
}

function inOrder(tensors: NamedTensors): (readonly [string, Tensor])[] {
  const entries: (readonly [string, Tensor])[] =
    tensors instanceof Map ? [...tensors] : Object.entries(tensors);
  const rank = ([, tensor]: readonly [string, Tensor]): number => DTYPE_ORDER.indexOf(tensor.dtype);
  return entries.sort((a, b) => rank(a) - rank(b) || Buffer.compare(Buffer.from(a[0]), Buffer.from(b[0])));
}

/** Length and JSON of the header, filled up with spaces to a multiple of 8 bytes. */
function header(
  entries: readonly (readonly [string, Tensor])[],
  metadata: Readonly<Record<string, string>>,
): Uint8Array {
  const fields: string[] = [];
  if (Object.keys(metadata).length > 0) fields.push(`"__metadata__":${JSON.stringify(metadata)}`);
  let start = 0;
  for (const [name, { dtype, shape, byteLength }] of entries) {
    if (name === "__metadata__")
      throw new UsageError('saveSafetensors: no tensor may be called "__metadata__"');
    const info = { dtype: FORMAT_DTYPES[dtype], shape, data_offsets: [start, start + byteLength] };
    fields.push(`${JSON.stringify(name)}:${JSON.stringify(info)}`);
    start += byteLength;
  }
  const json = Buffer.from(`{${fields.join(",")}}`);
  const length = Math.ceil(json.length / 8) * 8;
  const out = Buffer.alloc(8 + length, " ");
  out.writeBigUInt64LE(BigInt(length));
  json.copy(out, 8);
  return out;
}

async function writeAll(handle: FileHandle, data: Uint8Array): Promise<void> {
  for (let at = 0; at < data.length; ) {
    const { bytesWritten } = await handle.write(data, at, Math.min(data.length - at, 1 << 30));
    at += bytesWritten;
  }
}

/** Makes the new name last; Windows does so by itself and does not open directories. */
async function syncDirectory(path: string): Promise<void> {
  if (process.platform === "win32") return;
  const directory = await open(path, "r");
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}
