//! Where a model lies, and what generating from it needs.
import { existsSync, statSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { Tokenizer } from "@openelm/data";
import {
  type DownloadProgress,
  fetchModel,
  isHubName,
  type LoadModelOptions,
  loadAdapter,
  OpenELM,
} from "@openelm/models";
import { FileError, FormatError } from "@openelm/native";
import { LoRALinear } from "@openelm/nn";
import { bytes } from "../cli/format.js";
import { interruptible } from "../cli/interrupt.js";
import { Output } from "../cli/output.js";
import { showProgress } from "../cli/progress.js";

/** A model with its tokenizer. */
export interface LoadedModel {
  readonly model: OpenELM;
  readonly tokenizer: Tokenizer;
}

/** Names that a tokenizer's file may have in a model's folder. */
const TOKENIZER_FILES = ["tokenizer.json", "tokenizer.model"];

/**
 * The folder with the model's files: `folder` itself, that of the finished model or newest checkpoint of a run, or that of
 * a model of the hub, which is downloaded if need be.
 *
 * @throws FileError if there is none, FormatError if a run does not say which checkpoint is the newest.
 */
export async function findModelFolder(folder: string): Promise<string> {
  const isModel = (place: string): boolean => existsSync(join(place, "config.json"));
  for (const place of [folder, join(folder, "model")]) if (isModel(place)) return place;
  const checkpoints = join(folder, "checkpoints");
  if (existsSync(join(checkpoints, "latest.json"))) {
    const name = await latestIn(join(checkpoints, "latest.json"));
    if (isModel(join(checkpoints, name))) return join(checkpoints, name);
  }
  if (!existsSync(folder) && isHubName(folder)) return download(folder);
  const what = existsSync(folder)
    ? "holds no model: config.json, model.safetensors and tokenizer.json are needed"
    : "does not exist";
  throw new FileError(`${folder} ${what}`, { path: folder });
}

/** The checkpoint that a run's `latest.json` names. */
async function latestIn(path: string): Promise<string> {
  try {
    const { folder } = JSON.parse(await readFile(path, "utf8")) as { readonly folder?: unknown };
    if (typeof folder === "string" && /^step-\d+$/.test(folder)) return folder;
  } catch {
    // Told below.
  }
  throw new FormatError(`${path} names no checkpoint; name the folder of one`, { path });
}

/** Brings a model of the hub into the cache, and shows how far that is. */
async function download(name: string): Promise<string> {
  const view = showProgress(new Output(), name, "bytes");
  const onProgress = ({ done, total, file }: DownloadProgress): void =>
    view.update({ done, total, detail: `${file}, ${bytes(done)} of ${bytes(total)}` });
  return interruptible((signal) => fetchModel(name, { signal, onProgress }).finally(() => view.end()));
}

/** What a model is loaded with. */
export interface LoadOptions extends LoadModelOptions {
  /** Folder of an adapter, of PEFT or mlx-lm, that changes it. */
  readonly adapter?: string | undefined;
}

/** Loads a model and its tokenizer from a model's folder or a run's. */
export async function loadModel(
  folder: string,
  { adapter, ...options }: LoadOptions = {},
): Promise<LoadedModel> {
  const place = await findModelFolder(folder);
  const tokenizer = await loadTokenizer(place);
  const model = await OpenELM.load(place, options);
  model.eval();
  if (adapter !== undefined) await applyAdapter(model, adapter);
  return { model, tokenizer };
}

/**
 * The tokenizer in a model's folder.
 *
 * @throws FileError if there is none.
 */
export async function loadTokenizer(folder: string): Promise<Tokenizer> {
  const file = TOKENIZER_FILES.map((name) => join(folder, name)).find((path) => existsSync(path));
  if (file !== undefined) return Tokenizer.load(file);
  throw new FileError(`${folder} has no ${TOKENIZER_FILES.join(" or ")}`, { path: folder });
}

/** What is converted: a file as it is, of a run's folder the model inside, of a model of the hub its folder. */
export async function modelSource(path: string): Promise<string> {
  const isFolder = statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
  const isRemote = !existsSync(path) && isHubName(path);
  return isFolder || isRemote ? findModelFolder(path) : path;
}

/** Puts an adapter into a model that is not trained any more. */
async function applyAdapter(model: OpenELM, folder: string): Promise<void> {
  const lora = await loadAdapter(model, folder);
  // Plain weights take it in, which costs nothing from then on; codes stay codes and have it beside them.
  if ([...lora.layers.values()].every((layer) => layer instanceof LoRALinear)) lora.merge();
  else model.to(model.norm.weight.dtype);
}
