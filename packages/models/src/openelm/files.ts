//! A model as a folder: `config.json` and `model.safetensors`, in the form of the Hugging Face port.
import { randomBytes } from "node:crypto";
import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { FileError, FormatError } from "@openelm/native";
import { QuantizedEmbedding, QuantizedLinear } from "@openelm/nn";
import { filesOf } from "../convert/files/safetensors-source.js";
import { HF_NAMES } from "./checkpoint-names.js";
import type { OpenELMConfig } from "./config.js";
import { fromHFConfig, toHFConfig } from "./hf-config.js";
import type { OpenELM } from "./model.js";
import { type AffineGroups, parseQuantization, type Quantization, quantizationJson } from "./quantization.js";

/**
 * The configuration in a model's folder.
 *
 * @throws FileError if there is no `config.json`, FormatError if it is not that of an OpenELM.
 */
export async function readConfig(folder: string): Promise<OpenELMConfig> {
  const { json, path } = await readJson(folder);
  return fromHFConfig(json, path);
}

/** A model's folder, as far as its configuration and the names of its files tell. */
export interface ModelFolder {
  readonly config: OpenELMConfig;
  /** How its layers are quantized; undefined where none is. */
  readonly quantization: Quantization | undefined;
  /** Its safetensors files. */
  readonly weights: readonly string[];
}

/**
 * What is in a model's folder.
 *
 * @throws FileError if a file is missing, FormatError if one does not hold what it should.
 */
export async function readModelFolder(folder: string): Promise<ModelFolder> {
  const { json, path } = await readJson(folder);
  const { names } = await filesOf(folder);
  return {
    config: fromHFConfig(json, path),
    quantization: parseQuantization(json, path),
    weights: names.map((name) => join(folder, name)),
  };
}

async function readJson(folder: string): Promise<{ json: Record<string, unknown>; path: string }> {
  const path = join(folder, "config.json");
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (cause) {
    throw new FileError(`${path} cannot be read; a model's folder has config.json and model.safetensors`, {
      path,
      cause,
    });
  }
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new FormatError(`${path} is not JSON: ${(cause as Error).message}`, { path, cause });
  }
  if (typeof json !== "object" || json === null || Array.isArray(json)) {
    throw new FormatError(`${path} must hold an object`, { path });
  }
  return { json: json as Record<string, unknown>, path };
}

/**
 * Writes a model to a folder that other programs read as well.
 *
 * Each of the two files is the old one or the new one at any moment, never half of one.
 *
 * @throws FileError if a file cannot be written.
 */
export async function saveOpenELM(model: OpenELM, folder: string): Promise<void> {
  const config = { ...toHFConfig(model.config, model.norm.weight.dtype), ...quantizationIn(model) };
  const path = join(folder, "config.json");
  try {
    await mkdir(folder, { recursive: true });
  } catch (cause) {
    throw new FileError(`cannot make ${folder}: ${(cause as Error).message}`, { path: folder, cause });
  }
  await model.save(join(folder, "model.safetensors"), { names: HF_NAMES, metadata: { format: "pt" } });
  // The configuration comes last: a new folder that has one is a whole model.
  const temporary = `${path}.${process.pid}-${randomBytes(4).toString("hex")}.tmp`;
  try {
    await writeFile(temporary, `${JSON.stringify(config, null, 2)}\n`, { flush: true });
    await rename(temporary, path);
  } catch (cause) {
    await rm(temporary, { force: true }).catch(() => undefined);
    throw new FileError(`cannot write ${path}: ${(cause as Error).message}`, { path, cause });
  }
}

/** What `config.json` says of quantized layers, for programs that read MLX's folders. */
function quantizationIn(model: OpenELM): Record<string, unknown> {
  const layers = new Map<string, AffineGroups>();
  for (const [path, module] of model.namedModules()) {
    if (!(module instanceof QuantizedLinear || module instanceof QuantizedEmbedding)) continue;
    layers.set(HF_NAMES.toFile(path), { bits: module.bits, group: module.group });
  }
  return layers.size === 0 ? {} : { quantization: quantizationJson(layers) };
}
