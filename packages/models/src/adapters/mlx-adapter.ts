//! Adapters in the form of mlx-lm: `adapter_config.json` and `adapters.safetensors`.
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { FormatError, UsageError } from "@openelm/native";
import { type DType, saveSafetensors, type Tensor, transpose } from "@openelm/tensor";
import { shown } from "../convert/shown.js";
import {
  type AdapterFile,
  type AdapterLayer,
  checkedLayer,
  readObject,
  readTensors,
  scalingOf,
} from "./adapter-file.js";

const CONFIG = "adapter_config.json";
export const MLX_WEIGHTS = "adapters.safetensors";

/** A layer's matrices lie the other way round, and what they add is multiplied by one number for all. */
export async function readMlxAdapter(
  folder: string,
  { dtype }: { readonly dtype?: DType | undefined } = {},
): Promise<AdapterFile> {
  const config = join(folder, CONFIG);
  const json = await readObject(config);
  const { fine_tune_type: type = "lora", lora_parameters: parameters } = json;
  if (type !== "lora" && type !== "dora")
    throw new FormatError(`${config}: fine_tune_type must be lora or dora, got ${shown(type)}`, {
      path: config,
    });
  const { scale, dropout = 0 } = (parameters ?? {}) as Record<string, unknown>;
  if (typeof scale !== "number" || typeof dropout !== "number")
    throw new FormatError(`${config}: lora_parameters must have the number scale`, { path: config });
  const path = join(folder, MLX_WEIGHTS);
  const tensors = await readTensors(path, dtype);
  const dora = type === "dora";
  try {
    const layers = layersOf(tensors, { path, scale, dora });
    return { format: "mlx", path: folder, layers, dropout, rankStabilized: false, dora, base: undefined };
  } catch (error) {
    for (const tensor of tensors.values()) tensor.dispose();
    throw error;
  }
}

function layersOf(
  tensors: ReadonlyMap<string, Tensor>,
  { path, scale, dora }: { readonly path: string; readonly scale: number; readonly dora: boolean },
): Map<string, AdapterLayer> {
  const layers = new Map<string, AdapterLayer>();
  const bad = (what: string): FormatError => new FormatError(`${path}: ${what}`, { path });
  for (const [name, a] of tensors) {
    const layer = /^(.+)\.lora_a$/.exec(name)?.[1];
    if (layer === undefined) continue;
    const [b, magnitude] = [tensors.get(`${layer}.lora_b`), tensors.get(`${layer}.m`)];
    if (b === undefined) throw bad(`${layer} has no lora_b`);
    if (a.rank !== 2 || b.rank !== 2) throw bad(`lora_a and lora_b of ${layer} must be matrices`);
    if (dora !== (magnitude !== undefined))
      throw bad(`${layer} must have magnitudes just where fine_tune_type is dora`);
    const parts = { a: transpose(a), b: transpose(b), magnitude };
    const alpha = scale * parts.a.shape[0]!;
    layers.set(layer, checkedLayer(path, layer, { kind: "linear", ...parts, alpha }));
  }
  if (layers.size === 0) throw new FormatError(`${path} holds no adapter`, { path });
  return layers;
}

/**
 * Writes an adapter into a folder that is there.
 *
 * @throws UsageError if layers have different ranks or scales, or one is no linear layer of a block.
 */
export async function writeMlxAdapter(folder: string, file: AdapterFile, blocks: number): Promise<void> {
  const layers = [...file.layers];
  const [, first] = layers[0]!;
  const [rank, scale] = [first.a.shape[0]!, scalingOf(file, first)];
  const tensors = new Map<string, Tensor>();
  const keys = new Set<string>();
  let earliest = blocks;
  for (const [name, layer] of layers) {
    const [, block, key] = /^transformer\.layers\.(\d+)\.(.+)$/.exec(name) ?? [];
    if (block === undefined || layer.kind !== "linear")
      throw new UsageError(`mlx-lm has adapters for linear layers of blocks alone, which ${name} is not`);
    if (layer.a.shape[0] !== rank || scalingOf(file, layer) !== scale)
      throw new UsageError(
        `mlx-lm has one rank and one scale for all layers, and those of ${name} are others`,
      );
    keys.add(key!);
    earliest = Math.min(earliest, Number(block));
    tensors.set(`${name}.lora_a`, transpose(layer.a).contiguous());
    tensors.set(`${name}.lora_b`, transpose(layer.b).contiguous());
    if (layer.magnitude !== undefined) tensors.set(`${name}.m`, layer.magnitude);
  }
  await saveSafetensors(join(folder, MLX_WEIGHTS), tensors, { metadata: { format: "mlx" } });
  const json = {
    fine_tune_type: file.dora ? "dora" : "lora",
    lora_parameters: { dropout: file.dropout, keys: [...keys].sort(), rank, scale },
    // Blocks are counted from the last.
    num_layers: blocks - earliest,
  };
  await writeFile(join(folder, CONFIG), `${JSON.stringify(json, null, 2)}\n`);
}
