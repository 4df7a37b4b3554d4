//! Where a model lies, and what generating from it needs.
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { Tokenizer } from "@openelm/data";
import {
  type DownloadProgress,
  fetchModel,
  isHubName,
  type LoadModelOptions,
  OpenELM,
} from "@openelm/models";
import { FileError } from "@openelm/native";
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
 * @throws FileError if there is none.
 */
export async function findModelFolder(folder: string): Promise<string> {
  const isModel = (place: string): boolean => existsSync(join(place, "config.json"));
  for (const place of [folder, join(folder, "model")]) if (isModel(place)) return place;
  const checkpoints = join(folder, "checkpoints");
  if (existsSync(join(checkpoints, "latest.json"))) {
    const { folder: name } = JSON.parse(await readFile(join(checkpoints, "latest.json"), "utf8")) as {
      folder: string;
    };
    if (isModel(join(checkpoints, name))) return join(checkpoints, name);
  }
  if (!existsSync(folder) && isHubName(folder)) return download(folder);
  const what = existsSync(folder)
    ? "holds no model: config.json, model.safetensors and tokenizer.json are needed"
    : "does not exist";
  throw new FileError(`${folder} ${what}`, { path: folder });
}

/** Brings a model of the hub into the cache, and shows how far that is. */
async function download(name: string): Promise<string> {
  const view = showProgress(new Output(), name, "bytes");
  const onProgress = ({ done, total, file }: DownloadProgress): void =>
    view.update({ done, total, detail: `${file}, ${bytes(done)} of ${bytes(total)}` });
  return interruptible((signal) => fetchModel(name, { signal, onProgress }).finally(() => view.end()));
}

/** Loads a model and its tokenizer from a model's folder or a run's. */
export async function loadModel(folder: string, options: LoadModelOptions = {}): Promise<LoadedModel> {
  const place = await findModelFolder(folder);
  const file = TOKENIZER_FILES.map((name) => join(place, name)).find((path) => existsSync(path));
  if (file === undefined)
    throw new FileError(`${place} has no ${TOKENIZER_FILES.join(" or ")}`, { path: place });
  const tokenizer = await Tokenizer.load(file);
  const model = await OpenELM.load(place, options);
  model.eval();
  return { model, tokenizer };
}
