import { type FileHandle, open, stat } from "node:fs/promises";
import { resolve } from "node:path";
import { FileError, FormatError, isOpenELMError, UsageError } from "@openelm/native";
import { core } from "../core.js";
import { defaults } from "../defaults.js";
import { type Device, type DeviceLike, device as deviceOf } from "../device.js";
import { DTYPE_INFO, type DType } from "../dtype.js";
import { full } from "../generated/internal.js";
import { bytes } from "../read.js";
import { elements } from "../shape.js";
import { Tensor } from "../tensor.js";
import { to } from "../to.js";

/** Options of {@link loadSafetensors}. */
export interface LoadOptions {
  readonly device?: DeviceLike | undefined;
  /** Casts every float tensor to this dtype; others stay as they are. */
  readonly dtype?: DType | undefined;
  /** Maps the file instead of reading it: nothing is copied, pages come in when they are used. Default `true`. */
  readonly mmap?: boolean | undefined;
}

/** The tensors of a file by name, in the order of the file. */
export class Safetensors extends Map<string, Tensor> {
  readonly path: string;
  /** The file's own notes. */
  readonly metadata: Readonly<Record<string, string>>;

  constructor(path: string, metadata: Readonly<Record<string, string>>) {
    super();
    this.path = path;
    this.metadata = metadata;
  }

  /** Frees all tensors. */
  dispose(): void {
    for (const tensor of this.values()) tensor.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** Dtypes of the format, by ours. */
export const FORMAT_DTYPES: Readonly<Record<DType, string>> = {
  f64: "F64",
  f32: "F32",
  bf16: "BF16",
  f16: "F16",
  i64: "I64",
  i32: "I32",
  u32: "U32",
  i8: "I8",
  u8: "U8",
  bool: "BOOL",
};

const OURS = new Map(Object.entries(FORMAT_DTYPES).map(([ours, theirs]) => [theirs, ours as DType]));

/** Where a tensor lies in a safetensors file. */
export interface SafetensorsEntry {
  readonly name: string;
  /** As the format calls it, such as `"BF16"`. */
  readonly dtype: string;
  readonly shape: readonly number[];
  /** Byte of the file at which it begins. */
  readonly start: number;
}

/** What a safetensors file says of itself. */
export interface SafetensorsHeader {
  readonly metadata: Readonly<Record<string, string>>;
  /** In the order of the file. */
  readonly tensors: readonly SafetensorsEntry[];
}

interface Header {
  readonly file: number;
  readonly header: { readonly __metadata__?: Readonly<Record<string, string>> | null };
  readonly tensors: readonly SafetensorsEntry[];
}

/**
 * Names, dtypes, shapes and places of the tensors in a safetensors file, of which nothing else is read.
 *
 * @throws FormatError naming the file, for one that is cut off or contradicts itself; FileError for one that cannot be read.
 */
export function readSafetensorsHeader(path: string): SafetensorsHeader {
  const { file, header, tensors } = openHeader(resolve(path));
  core.closeSafetensors(file);
  return { metadata: header.__metadata__ ?? {}, tensors };
}

/**
 * The tensors of a safetensors file.
 *
 * A mapped file must not change as long as its tensors live; that it did not while it was opened is checked, and
 * `saveSafetensors` refuses to write over it. With `mmap: false` the tensors are independent of the file.
 *
 * @throws FormatError naming the file, for one that is cut off, contradicts itself or holds a dtype that we have not;
 * FileError for one that cannot be read.
 * @example
 * ```ts no-run
 * const weights = await loadSafetensors("model.safetensors", { dtype: "f32" });
 * weights.get("lm_head.weight")?.shape;
 * weights.metadata.format; // "pt"
 * ```
 */
export async function loadSafetensors(path: string, options: LoadOptions = {}): Promise<Safetensors> {
  const { dtype, mmap = true } = options;
  if (dtype !== undefined && !DTYPE_INFO[dtype]?.isFloat) {
    throw new UsageError(`loadSafetensors: dtype must be a float, got ${String(dtype)}`);
  }
  const device = deviceOf(options.device ?? defaults().device);
  const file = resolve(path);
  const before = await identity(file);
  const header = openHeader(file);
  const loaded = new Safetensors(file, header.header.__metadata__ ?? {});
  const reader =
    mmap || device.name === "meta" ? new MapReader(header.file) : new CopyReader(await open(file), file);
  const replaced: Tensor[] = [];
  try {
    for (const entry of header.tensors) {
      const made = await reader.read(entry, dtypeOf(file, entry), device);
      const cast = dtype !== undefined && DTYPE_INFO[made.dtype].isFloat ? to(made, dtype) : made;
      if (cast !== made) replaced.push(made);
      loaded.set(entry.name, cast);
    }
    if (replaced.length > 0) await settled(device);
    if ((await identity(file)) !== before) {
      throw new FileError(`${file} changed while it was loaded`, { path: file });
    }
    return loaded;
  } catch (error) {
    loaded.dispose();
    throw error;
  } finally {
    for (const tensor of replaced) tensor.dispose();
    await reader.close();
    core.closeSafetensors(header.file);
  }
}

/** Resolves when the calls made so far have run: to free a mapping before that would block until then. */
async function settled(device: Device): Promise<void> {
  if (device.name === "meta") return;
  const last = full([], 0, { device });
  await bytes(last);
  last.dispose();
}

async function identity(path: string): Promise<string> {
  try {
    const { size, mtimeMs } = await stat(path);
    return `${size} ${mtimeMs}`;
  } catch (error) {
    throw new FileError(`cannot open ${path}: ${(error as Error).message}`, { path, cause: error });
  }
}

function openHeader(path: string): Header {
  let header: Header;
  try {
    header = JSON.parse(core.openSafetensors(path)) as Header;
  } catch (error) {
    const { message } = error as Error;
    if (isOpenELMError(error, "FORMAT")) throw new FormatError(message, { path, cause: error });
    if (isOpenELMError(error, "FILE")) throw new FileError(message, { path, cause: error });
    throw error;
  }
  // Beside an axis of 0 the others may be any numbers, also such as a double does not hold.
  const strange = header.tensors.find(({ shape }) => !shape.every(Number.isSafeInteger));
  if (strange === undefined) return header;
  core.closeSafetensors(header.file);
  throw new FormatError(`${path}: tensor "${strange.name}" has the shape [${strange.shape.join(", ")}]`, {
    path,
  });
}

function dtypeOf(path: string, { name, dtype }: SafetensorsEntry): DType {
  const ours = OURS.get(dtype);
  if (ours !== undefined) return ours;
  const known = [...OURS.keys()].join(", ");
  throw new FormatError(
    `${path}: tensor "${name}" has dtype ${dtype}, which is not supported (${known} are)`,
    { path },
  );
}

/** How the bytes of a tensor come into memory. */
interface Reader {
  read(entry: SafetensorsEntry, dtype: DType, device: Device): Tensor | Promise<Tensor>;
  close(): void | Promise<void>;
}

class MapReader implements Reader {
  readonly #file: number;

  constructor(file: number) {
    this.#file = file;
  }

  read({ start, shape }: SafetensorsEntry, dtype: DType, device: Device): Tensor {
    if (device.name === "meta") return full(shape, 0, { dtype, device });
    const id = core.mapTensor(this.#file, device.id, start, DTYPE_INFO[dtype].index, shape);
    return new Tensor(id, dtype, shape, device);
  }

  close(): void {}
}

/** Reads one tensor after another into memory of its own, away from the JavaScript thread. */
class CopyReader implements Reader {
  readonly #handle: FileHandle;
  readonly #path: string;

  constructor(handle: FileHandle, path: string) {
    this.#handle = handle;
    this.#path = path;
  }

  async read({ name, start, shape }: SafetensorsEntry, dtype: DType, device: Device): Promise<Tensor> {
    const bytes = new Uint8Array(elements(shape) * DTYPE_INFO[dtype].size);
    for (let at = 0; at < bytes.length; ) {
      const { bytesRead } = await this.#handle.read(
        bytes,
        at,
        Math.min(bytes.length - at, 1 << 30),
        start + at,
      );
      if (bytesRead === 0)
        throw new FileError(`${this.#path}: ends inside tensor "${name}"`, { path: this.#path });
      at += bytesRead;
    }
    return new Tensor(core.write(device.id, DTYPE_INFO[dtype].index, shape, bytes), dtype, shape, device);
  }

  close(): Promise<void> {
    return this.#handle.close();
  }
}
