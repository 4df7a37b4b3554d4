//! Weights of safetensors files: those of a folder, with the file or files that it has.
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { FileError, FormatError } from "@openelm/native";
import { readSafetensorsHeader, type SafetensorsEntry } from "@openelm/tensor";
import { shown } from "../shown.js";
import type { FileLayout } from "../source.js";
import { type Encoding, type FloatName, rowBytes, type ScaleName, type Weight } from "../weight.js";
import { FLOAT_BY_DTYPE } from "./safetensors-layout.js";
import { SourceFile } from "./source-file.js";

/** A tensor of a file. */
export interface FileTensor extends SafetensorsEntry {
  readonly file: SourceFile;
}

/** The tensors of a folder's safetensors files by name. */
export interface SafetensorsFolder {
  readonly tensors: ReadonlyMap<string, FileTensor>;
  readonly layout: readonly FileLayout[];
  /** The index as it stands, where the tensors are in several files. */
  readonly index?: string | undefined;
  readonly metadata: Readonly<Record<string, string>>;
  close(): Promise<void>;
}

const INDEX = "model.safetensors.index.json";
/** Names that the one file of a folder may have. */
const SINGLE = [
  "model.safetensors",
  "weights.safetensors",
  "adapter_model.safetensors",
  "adapters.safetensors",
];

/**
 * Opens the safetensors files of a folder.
 *
 * @throws FileError if there are none, FormatError if one is not as it should be.
 */
export async function openSafetensorsFolder(folder: string): Promise<SafetensorsFolder> {
  const { names, index } = await filesOf(folder);
  const files: SourceFile[] = [];
  try {
    const tensors = new Map<string, FileTensor>();
    const layout: FileLayout[] = [];
    let metadata: Readonly<Record<string, string>> = {};
    for (const name of names) {
      const path = join(folder, name);
      const header = readSafetensorsHeader(path);
      const file = await SourceFile.open(path);
      files.push(file);
      metadata = header.metadata;
      for (const tensor of header.tensors) {
        if (tensors.has(tensor.name)) throw file.bad(0, `tensor "${tensor.name}" is in another file too`);
        tensors.set(tensor.name, { ...tensor, file });
      }
      const length = Buffer.from(await file.read(0, 8)).readBigUInt64LE();
      layout.push({ name, header: await file.read(0, 8 + Number(length)) });
    }
    const close = async (): Promise<void> => void (await Promise.all(files.map((file) => file.close())));
    return { tensors, layout, index, metadata, close };
  } catch (error) {
    await Promise.all(files.map((file) => file.close()));
    throw error;
  }
}

/** Names of a folder's safetensors files, which an index lists where there are several. */
export async function filesOf(
  folder: string,
): Promise<{ names: readonly string[]; index?: string | undefined }> {
  const path = join(folder, INDEX);
  if (!existsSync(path)) {
    const single = SINGLE.find((name) => existsSync(join(folder, name)));
    if (single !== undefined) return { names: [single] };
    throw new FileError(`${folder} has no weights: model.safetensors or ${INDEX} is needed`, {
      path: folder,
    });
  }
  const index = await readFile(path, "utf8");
  const bad = (what: string): FormatError => new FormatError(`${path}: ${what}`, { path });
  let json: unknown;
  try {
    json = JSON.parse(index);
  } catch (cause) {
    throw bad(`it is not JSON: ${(cause as Error).message}`);
  }
  const map = (json as { weight_map?: unknown } | null)?.weight_map;
  if (typeof map !== "object" || map === null) throw bad("it has no weight_map");
  const names = [...new Set<unknown>(Object.values(map))];
  for (const name of names) {
    // A name that leads elsewhere would have another file read than the folder's.
    if (typeof name !== "string" || !/^[\w.-]+\.safetensors$/.test(name)) {
      throw bad(`weight_map must name files of the folder, got ${shown(name)}`);
    }
  }
  return { names: (names as string[]).sort(), index };
}

/** A tensor of plain floats as a weight. */
export function plainWeight(tensor: FileTensor, name: string): Weight {
  const encoding: Encoding = { kind: "plain", dtype: floatOf(tensor) };
  const dim = tensor.shape.at(-1) ?? 1;
  const { data } = rowBytes(encoding, dim);
  return {
    name,
    shape: tensor.shape,
    encoding,
    rows: async (start, end) => ({
      data: await tensor.file.read(tensor.start + start * data, (end - start) * data),
    }),
  };
}

/** Codes, scales and biases as one weight of `bits` and `group`. */
export function affineWeight(
  name: string,
  [codes, scales, biases]: readonly [FileTensor, FileTensor, FileTensor],
  { bits, group }: { readonly bits: number; readonly group: number },
): Weight {
  const [rows, words] = codes.shape as [number, number];
  const dim = (words * 32) / bits;
  const wanted = `${rows},${dim / group}`;
  const fits =
    codes.dtype === "U32" &&
    codes.shape.length === 2 &&
    Number.isInteger(dim / group) &&
    scales.shape.join() === wanted &&
    biases.shape.join() === wanted &&
    scales.dtype === biases.dtype;
  if (!fits) {
    const shown = [codes, scales, biases]
      .map(({ dtype, shape }) => `${dtype}[${shape.join(", ")}]`)
      .join(", ");
    throw codes.file.bad(
      codes.start,
      `${codes.name}: ${shown} are no codes of ${bits} bits in groups of ${group}`,
    );
  }
  const encoding: Encoding = { kind: "affine", bits, group, scales: floatOf(scales) as ScaleName };
  const size = rowBytes(encoding, dim);
  const part = (tensor: FileTensor, bytes: number, start: number, end: number): Promise<Uint8Array> =>
    tensor.file.read(tensor.start + start * bytes, (end - start) * bytes);
  return {
    name,
    shape: [rows, dim],
    encoding,
    async rows(start, end) {
      const parts = [
        part(codes, size.data, start, end),
        part(scales, size.scales, start, end),
        part(biases, size.scales, start, end),
      ] as const;
      const [data, scaleBytes, biasBytes] = await Promise.all(parts);
      return { data, scales: scaleBytes, biases: biasBytes };
    },
  };
}

function floatOf({ file, start, name, dtype }: FileTensor): FloatName {
  const float = FLOAT_BY_DTYPE.get(dtype);
  if (float !== undefined) return float;
  throw file.bad(start, `tensor "${name}" has dtype ${dtype}; weights are F64, F32, BF16 or F16`);
}
