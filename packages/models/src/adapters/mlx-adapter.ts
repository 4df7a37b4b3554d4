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
  try {
    return {
      format: "mlx",
      path: folder,
      layers: layersOf(tensors, path, { scale, isDora: type === "dora" }),
      dropout,
      rankStabilized: false,
      dora: type === "dora",
      base: undefined,
    };
  } catch (error) {
    for (const tensor of tensors.values()) tensor.dispose();
    throw error;
  }
}

/** Names of the parts of a layer. */
const PART = /^(.+)\.(?:lora_a|lora_b|m)$/;

function layersOf(
  tensors: ReadonlyMap<string, Tensor>,
  path: string,
  { scale, isDora }: { readonly scale: number; readonly isDora: boolean },
): Map<string, AdapterLayer> {
  const layers = new Map<string, AdapterLayer>();
  for (const name of tensors.keys()) {
    const layer = PART.exec(name)?.[1];
    if (layer === undefined) throw new FormatError(`${path}: ${name} is no part of an adapter`, { path });
    if (layers.has(layer)) continue;
    const [a, b] = [tensors.get(`${layer}.lora_a`), tensors.get(`${layer}.lora_b`)];
    const magnitude = tensors.get(`${layer}.m`);
    if (a?.rank !== 2 || b?.rank !== 2 || isDora !== (magnitude !== undefined)) {
      const parts = isDora ? "the matrices lora_a and lora_b, and m" : "the matrices lora_a and lora_b alone";
      throw new FormatError(`${path}: ${layer} must have ${parts}`, { path });
    }
    const linear = { kind: "linear", a: transpose(a), b: transpose(b), magnitude } as const;
    layers.set(layer, checkedLayer(path, layer, { ...linear, alpha: scale * a.shape[1]! }));
  }
  if (layers.size === 0) throw new FormatError(`${path} holds no adapter`, { path });
  // Those that were turned have views of their own.
  for (const [name, tensor] of tensors) if (!name.endsWith(".m")) tensor.dispose();
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
