//! Adapters in the form of Hugging Face's PEFT: `adapter_config.json` and `adapter_model.safetensors`.
import { existsSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { FileError, FormatError } from "@openelm/native";
import { type DType, saveSafetensors, type Tensor } from "@openelm/tensor";
import { shown } from "../convert/shown.js";
import {
  type AdapterFile,
  type AdapterLayer,
  checkedLayer,
  readObject,
  readTensors,
} from "./adapter-file.js";
import { matchesEnd } from "./layer-pattern.js";

export const PEFT_CONFIG = "adapter_config.json";
export const PEFT_WEIGHTS = "adapter_model.safetensors";

/** Before the names of all layers: the wrapper and the model in it. */
const PREFIX = "base_model.model.";

/** Names of the parts of a layer. Only modules have `.weight` behind theirs. */
const PART =
  /^(.+)\.(lora_A\.weight|lora_B\.weight|lora_embedding_A|lora_embedding_B|lora_magnitude_vector(?:\.weight)?)$/;

/**
 * Reads an adapter.
 *
 * @throws FileError if a file is missing; FormatError if it is of another kind than LoRA or DoRA, or not whole.
 */
export async function readPeft(
  folder: string,
  { dtype }: { readonly dtype?: DType | undefined } = {},
): Promise<AdapterFile> {
  const config = join(folder, PEFT_CONFIG);
  const json = await readObject(config);
  refuseOthers(json, config);
  const path = join(folder, PEFT_WEIGHTS);
  if (!existsSync(path) && existsSync(join(folder, "adapter_model.bin"))) {
    throw new FileError(`${folder} has adapter_model.bin only; save the adapter again as safetensors`, {
      path,
    });
  }
  const tensors = await readTensors(path, dtype);
  try {
    const parts = partsOf(tensors, path);
    const layers = new Map<string, AdapterLayer>();
    for (const [name, found] of parts) layers.set(name, layerOf(name, found, json, { path, config }));
    if (layers.size === 0) throw new FormatError(`${path} holds no adapter`, { path });
    return {
      format: "peft",
      path: folder,
      layers,
      dropout: numberIn(json, "lora_dropout", config, 0),
      rankStabilized: json.use_rslora === true,
      dora: json.use_dora === true,
      base: typeof json.base_model_name_or_path === "string" ? json.base_model_name_or_path : undefined,
    };
  } catch (error) {
    for (const tensor of tensors.values()) tensor.dispose();
    throw error;
  }
}

/** Settings by which an adapter is more, or other, than a product added to layers. */
const OTHER_METHODS = [
  ...["lora_bias", "modules_to_save", "trainable_token_indices", "target_parameters", "layer_replication"],
  ...[
    "alora_invocation_tokens",
    "use_qalora",
    "use_bdlora",
    "arrow_config",
    "kasa_config",
    "monteclora_config",
  ],
];

/** Starts that leave the model's weights alone. PiSSA, OLoRA and others take from them what `A` and `B` begin with. */
const STARTS = new Set<unknown>([true, false, "gaussian", "orthogonal", "eva"]);

/** What is more than a product added to layers is refused: without it the model would be another one. */
function refuseOthers(json: Record<string, unknown>, path: string): void {
  const { peft_type: type, bias = "none", init_lora_weights: start = true } = json;
  const bad = (what: string): FormatError => new FormatError(`${path}: ${what}`, { path });
  if (type !== "LORA") throw bad(`peft_type must be LORA, got ${shown(type)}`);
  if (bias !== "none") throw bad(`bias must be none, got ${shown(bias)}`);
  const other = OTHER_METHODS.find((key) => isInUse(json[key]));
  if (other !== undefined) throw bad(`${other} is not known here`);
  if (json.fan_in_fan_out === true) throw bad("fan_in_fan_out is for weights that lie the other way round");
  if (!STARTS.has(start)) {
    throw bad(
      `init_lora_weights is ${shown(start)}, which changes the model's weights; ` +
        "save the adapter again with path_initial_model_for_weight_conversion, which makes a LoRA of it",
    );
  }
}

const isInUse = (value: unknown): boolean =>
  typeof value === "object" && value !== null ? Object.keys(value).length > 0 : value === true;

type Parts = ReadonlyMap<string, Tensor>;

function partsOf(tensors: ReadonlyMap<string, Tensor>, path: string): Map<string, Parts> {
  const layers = new Map<string, Map<string, Tensor>>();
  for (const [name, tensor] of tensors) {
    const [, layer, part] = PART.exec(name) ?? [];
    if (layer === undefined || part === undefined || !layer.startsWith(PREFIX))
      throw new FormatError(`${path}: ${name} is no part of an adapter`, { path });
    const own = layer.slice(PREFIX.length);
    const parts = layers.get(own) ?? new Map<string, Tensor>();
    layers.set(own, parts.set(part.replace(/\.weight$/, ""), tensor));
  }
  return layers;
}

function layerOf(
  name: string,
  parts: Parts,
  json: Record<string, unknown>,
  { path, config }: { readonly path: string; readonly config: string },
): AdapterLayer {
  const kind = parts.has("lora_embedding_A") ? "embedding" : "linear";
  const [a, b] = (["A", "B"] as const).map((side) =>
    parts.get(kind === "embedding" ? `lora_embedding_${side}` : `lora_${side}`),
  );
  const magnitude = parts.get("lora_magnitude_vector");
  if (a === undefined || b === undefined || parts.size !== (magnitude === undefined ? 2 : 3))
    throw new FormatError(`${path}: ${name} must have both A and B, and no others`, { path });
  if ((json.use_dora === true && kind === "linear") !== (magnitude !== undefined))
    throw new FormatError(`${path}: ${name} must have magnitudes just where use_dora is true`, { path });
  const usual = numberIn(json, "lora_alpha", config, 8);
  const alpha = patternValue(json.alpha_pattern, name, config) ?? usual;
  return checkedLayer(path, name, { kind, a, b, magnitude, alpha });
}

function numberIn(json: Record<string, unknown>, key: string, path: string, usual: number): number {
  const value = json[key] ?? usual;
  if (typeof value === "number" && Number.isFinite(value)) return value;
  throw new FormatError(`${path}: ${key} must be a number, got ${shown(value)}`, { path });
}

/** The value of the first pattern that a layer's name ends with, from its begin or behind a dot. */
function patternValue(patterns: unknown, name: string, path: string): number | undefined {
  if (typeof patterns !== "object" || patterns === null) return undefined;
  for (const [pattern, value] of Object.entries(patterns)) {
    if (typeof value === "number" && isMeant(name, pattern, path)) return value;
  }
  return undefined;
}

/** @throws FormatError if the pattern, an expression of Python, is none of JavaScript, or could be tried without an end. */
function isMeant(name: string, pattern: string, path: string): boolean {
  let matches: boolean | undefined;
  try {
    matches = matchesEnd(name, pattern);
  } catch (cause) {
    throw new FormatError(`${path}: alpha_pattern: ${(cause as Error).message}`, { path, cause });
  }
  if (matches !== undefined) return matches;
  throw new FormatError(`${path}: the pattern ${shown(pattern)} could take without an end`, { path });
}

/**
 * Writes an adapter into a folder that is there.
 *
 * @param allLayers - The names of all layers of the model, where they are known: adapted ones may then be named by what
 * their names end with.
 */
export async function writePeft(
  folder: string,
  file: AdapterFile,
  allLayers?: readonly string[],
): Promise<void> {
  const tensors = new Map<string, Tensor>();
  for (const [name, { kind, a, b, magnitude }] of file.layers) {
    const put = (part: string, tensor: Tensor): unknown => tensors.set(`${PREFIX}${name}.${part}`, tensor);
    put(kind === "embedding" ? "lora_embedding_A" : "lora_A.weight", a);
    put(kind === "embedding" ? "lora_embedding_B" : "lora_B.weight", b);
    if (magnitude !== undefined) put("lora_magnitude_vector", magnitude);
  }
  await saveSafetensors(join(folder, PEFT_WEIGHTS), tensors, { metadata: { format: "pt" } });
  await writeFile(join(folder, PEFT_CONFIG), `${JSON.stringify(configOf(file, allLayers), null, 2)}\n`);
}

function configOf(file: AdapterFile, allLayers: readonly string[] | undefined): Record<string, unknown> {
  const layers = [...file.layers];
  const rank = usual(layers.map(([, { a }]) => a.shape[0]!));
  const alpha = usual(layers.map(([, layer]) => layer.alpha));
  // Patterns are matched behind a dot, so what all names begin with is left out.
  const key = (name: string): string => name.replace(/^transformer\./, "").replaceAll(".", "\\.");
  const others = (of: (layer: AdapterLayer) => number, most: number): Record<string, number> =>
    Object.fromEntries(
      layers.flatMap(([name, layer]) => (of(layer) === most ? [] : [[key(name), of(layer)]])),
    );
  return {
    alpha_pattern: others(({ alpha }) => alpha, alpha),
    auto_mapping: null,
    base_model_name_or_path: file.base ?? null,
    bias: "none",
    fan_in_fan_out: false,
    inference_mode: true,
    init_lora_weights: true,
    layers_pattern: null,
    layers_to_transform: null,
    lora_alpha: alpha,
    lora_dropout: file.dropout,
    modules_to_save: null,
    peft_type: "LORA",
    r: rank,
    rank_pattern: others(({ a }) => a.shape[0]!, rank),
    revision: null,
    target_modules: targetsOf([...file.layers.keys()], allLayers),
    task_type: "CAUSAL_LM",
    use_dora: file.dora,
    use_rslora: file.rankStabilized,
  };
}

/** The value that occurs most often, of those the first. */
function usual(values: readonly number[]): number {
  const count = (value: number): number => values.filter((other) => other === value).length;
  return values.reduce((best, value) => (count(value) > count(best) ? value : best));
}

/** Names of modules as PEFT wants them: last parts where all layers that end so have an adapter, else whole names. */
function targetsOf(adapted: readonly string[], all: readonly string[] | undefined): string[] {
  if (all === undefined) return [...adapted].sort();
  const last = (name: string): string => name.split(".").at(-1)!;
  const isWhole = (end: string): boolean => all.every((name) => last(name) !== end || adapted.includes(name));
  return [...new Set(adapted.map((name) => (isWhole(last(name)) ? last(name) : name)))].sort();
}
