//! Models in folders with `config.json` and safetensors: of the Hugging Face port, of mlx-lm, of CoreNet's MLX example.
import { existsSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { FileError, FormatError } from "@openelm/native";
import { type OpenELMConfig, openelmConfig } from "../../openelm/config.js";
import { fromHFConfig } from "../../openelm/hf-config.js";
import { parseQuantization, type Quantization, quantizationOf } from "../../openelm/quantization.js";
import {
  affineWeight,
  type FileTensor,
  openSafetensorsFolder,
  plainWeight,
  type SafetensorsFolder,
} from "../files/safetensors-source.js";
import { inferConfig } from "../infer-config.js";
import { type FolderLayout, fitted, type ModelFormat, type ModelSource } from "../source.js";
import { isNamedSize } from "../vocabulary/size.js";
import type { Weight } from "../weight.js";
import { readOrigin } from "./origin.js";

/** Files that go along with a model. */
const COMPANION =
  /^(?:tokenizer.*|special_tokens_map\.json|added_tokens\.json|vocab\.json|merges\.txt|generation_config\.json|chat_template\..*|\w+_openelm\.py|LICENSE.*|README\.md)$/;

/**
 * Opens a folder with `config.json` and safetensors files.
 *
 * @throws FileError if a file is missing, FormatError if one is not as it should be.
 */
export async function openFolder(path: string): Promise<ModelSource> {
  const file = join(path, "config.json");
  const text = await readFile(file, "utf8").catch((cause: Error) => {
    throw new FileError(`${file} cannot be read: ${cause.message}`, { path: file, cause });
  });
  const json = parseObject(text, file);
  const quantization = parseQuantization(json, file);
  const files = await openSafetensorsFolder(path);
  try {
    const weights = weightsOf(files, quantization);
    const isMlx =
      quantization !== undefined || files.metadata.format === "mlx" || json.model_type === undefined;
    const format: ModelFormat = isMlx ? "mlx" : "hf";
    const config = configOf(json, file, weights);
    const layout: FolderLayout = { format, config: text, files: files.layout, index: files.index };
    const origin = await readOrigin(path);
    return {
      format,
      path,
      config,
      weights: fitted(path, config, weights),
      companions: await companionsIn(path),
      layouts: origin === undefined ? [layout] : [layout, origin],
      close: files.close,
    };
  } catch (error) {
    await files.close();
    throw error;
  }
}

/** Files in a folder that belong to a model beside its weights. */
export async function companionsIn(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true });
  return entries.filter((e) => e.isFile() && COMPANION.test(e.name)).map((e) => join(folder, e.name));
}

export function parseObject(text: string, path: string): Record<string, unknown> {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new FormatError(`${path} is not JSON: ${(cause as Error).message}`, { path, cause });
  }
  if (typeof json === "object" && json !== null && !Array.isArray(json))
    return json as Record<string, unknown>;
  throw new FormatError(`${path} must hold an object`, { path });
}

/** CoreNet's name of a tensor of the Hugging Face port, which puts the layers into `transformer`. */
export const fromHFName = (name: string): string =>
  name.startsWith("lm_head.") ? name.replace("lm_head", "classifier") : name.replace(/^transformer\./, "");

/** The name that the Hugging Face port and mlx-lm have for one of CoreNet's. */
export const toHFName = (name: string): string =>
  name.startsWith("classifier.") ? name.replace("classifier", "lm_head") : `transformer.${name}`;

function weightsOf(files: SafetensorsFolder, quantization: Quantization | undefined): Map<string, Weight> {
  const weights = new Map<string, Weight>();
  const put = (tensor: FileTensor, weight: Weight): void => {
    if (weights.has(weight.name)) throw tensor.file.bad(0, `two tensors are called ${weight.name}`);
    weights.set(weight.name, weight);
  };
  for (const [name, tensor] of files.tensors) {
    const codes = name.replace(/\.(?:scales|biases)$/, ".weight");
    if (codes !== name && files.tensors.has(codes)) continue;
    const scales = files.tensors.get(name.replace(/weight$/, "scales"));
    const biases = files.tensors.get(name.replace(/weight$/, "biases"));
    if (!name.endsWith(".weight") || scales === undefined || biases === undefined) {
      put(tensor, plainWeight(tensor, fromHFName(name)));
      continue;
    }
    const how = quantizationOf(quantization, name.replace(/\.weight$/, ""));
    if (how === undefined)
      throw tensor.file.bad(tensor.start, `${name} is quantized, but config.json does not say how`);
    put(tensor, affineWeight(fromHFName(name), [tensor, scales, biases], how));
  }
  return weights;
}

function configOf(
  json: Record<string, unknown>,
  path: string,
  weights: ReadonlyMap<string, Weight>,
): OpenELMConfig {
  if (json.model_type === undefined && json.num_transformer_layers === undefined) {
    // CoreNet's MLX example names a size and leaves the rest to the program.
    const context = json.max_context_length;
    const shapes = new Map(Array.from(weights, ([name, { shape }]) => [name, shape]));
    return inferConfig(path, shapes, typeof context === "number" ? { maxContextLength: context } : {});
  }
  const config = fromHFConfig(json, path);
  const rows = weights.get("token_embeddings.weight")?.shape[0];
  // Tables of the three known sizes go by what they are, not by what the configuration was copied from.
  const isOther = rows !== undefined && rows !== config.vocabSize;
  if (!isOther || !isNamedSize(rows) || !isNamedSize(config.vocabSize)) return config;
  return openelmConfig({ ...config, vocabSize: rows, paddingIndex: undefined });
}

/** Whether a path is a folder of this kind. */
export const isModelFolder = (path: string): boolean => existsSync(join(path, "config.json"));
