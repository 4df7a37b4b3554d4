//! A low-rank adapter as files hold it, apart from any model.

import { readFile } from "node:fs/promises";
import { FileError, FormatError } from "@openelm/native";
import { type DType, loadSafetensors, type Tensor } from "@openelm/tensor";
import { parseObject } from "../convert/formats/folder.js";

/** Forms that an adapter's files have. */
export type AdapterFormat = "peft" | "mlx";

/** What an adapter adds to one layer. */
export interface AdapterLayer {
  readonly kind: "linear" | "embedding";
  /** `[rank, inputs]`; of an embedding `[rank, count]`. */
  readonly a: Tensor;
  /** `[outputs, rank]`; of an embedding `[dim, rank]`. */
  readonly b: Tensor;
  /** Norms of the weights' rows, `[outputs]`. */
  readonly magnitude?: Tensor | undefined;
  /** What is added is multiplied by `alpha / rank`, or `alpha / √rank`. */
  readonly alpha: number;
}

/** An adapter that was read, or is to be written. */
export interface AdapterFile {
  readonly format: AdapterFormat;
  readonly path: string;
  /** By the names that layers have in the Hugging Face port. */
  readonly layers: ReadonlyMap<string, AdapterLayer>;
  readonly dropout: number;
  readonly rankStabilized: boolean;
  readonly dora: boolean;
  /** The model that it belongs to, as its files call it. */
  readonly base: string | undefined;
}

/** What a layer's product is multiplied by. */
export const scalingOf = ({ rankStabilized }: AdapterFile, { alpha, a }: AdapterLayer): number =>
  alpha / (rankStabilized ? Math.sqrt(a.shape[0]!) : a.shape[0]!);

/** Frees the tensors. */
export function disposeAdapter({ layers }: AdapterFile): void {
  for (const { a, b, magnitude } of layers.values()) for (const t of [a, b, magnitude]) t?.dispose();
}

/** @throws FileError if the file cannot be read, FormatError if it holds no object. */
export async function readObject(path: string): Promise<Record<string, unknown>> {
  const text = await readFile(path, "utf8").catch((cause: Error) => {
    throw new FileError(`${path} cannot be read: ${cause.message}`, { path, cause });
  });
  return parseObject(text, path);
}

/** The tensors of a file, all of them floats, in memory of the CPU. */
export async function readTensors(path: string, dtype: DType | undefined): Promise<Map<string, Tensor>> {
  const tensors = await loadSafetensors(path, { device: "cpu", dtype, mmap: false });
  const wrong = [...tensors].find(([, { dtype, rank }]) => !FLOATS.has(dtype) || rank < 1 || rank > 2);
  if (wrong === undefined) return tensors;
  tensors.dispose();
  const [name, tensor] = wrong;
  throw new FormatError(
    `${path}: ${name} is ${tensor.dtype}[${tensor.shape.join(", ")}], which no adapter has`,
    {
      path,
    },
  );
}

const FLOATS = new Set<DType>(["f32", "bf16", "f16", "f64"]);

/** Checks that the parts of a layer fit each other. */
export function checkedLayer(path: string, name: string, layer: AdapterLayer): AdapterLayer {
  const { a, b, magnitude } = layer;
  const fits =
    a.rank === 2 &&
    b.rank === 2 &&
    a.shape[0] === b.shape[1] &&
    a.shape[0]! > 0 &&
    (magnitude === undefined || magnitude.shape.join() === String(b.shape[0]));
  if (fits) return layer;
  const shapes = [a, b, magnitude].map((t) => (t === undefined ? "" : `[${t.shape.join(", ")}]`)).join(" ");
  throw new FormatError(`${path}: the parts of ${name} do not fit each other: ${shapes.trim()}`, { path });
}
