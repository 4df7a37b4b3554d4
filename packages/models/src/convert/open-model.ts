//! Which form a model's files have, by what is in them.
import { stat } from "node:fs/promises";
import { basename, dirname } from "node:path";
import { FileError, FormatError } from "@openelm/native";
import { OPENELM_SIZES, type OpenELMConfig, type OpenELMSize, openelmConfig } from "../openelm/config.js";
import { readConfig } from "../openelm/files.js";
import { refuseCheckpointOptions } from "./check-options.js";
import { SourceFile } from "./files/source-file.js";
import { openCoreNet } from "./formats/corenet.js";
import { isModelFolder, openFolder } from "./formats/folder.js";
import { openGguf } from "./formats/gguf.js";
import type { ModelSource } from "./source.js";

/** How a source is read. */
export interface OpenModelOptions {
  /** Which weights of a training checkpoint: those that were trained, or their moving average. Default `"model"`. */
  readonly state?: "model" | "ema" | undefined;
  /** A size by name or a folder with `config.json`, for checkpoints that have none. Default: what the tensors tell. */
  readonly config?: string | undefined;
}

/**
 * Opens a model in any form that is known, and reads its headers. Close it after use.
 *
 * @throws FileError if it cannot be read; FormatError naming file and byte if it is not as it should be; UsageError if
 * options are given that the form does not have.
 */
export async function openModel(path: string, options: OpenModelOptions = {}): Promise<ModelSource> {
  const stats = await stat(path).catch((cause: Error) => {
    throw new FileError(`${path} cannot be opened: ${cause.message}`, { path, cause });
  });
  if (stats.isDirectory()) {
    if (!isModelFolder(path)) {
      throw new FormatError(`${path} has no config.json; give a model's folder, a .pt file or a .gguf file`, {
        path,
      });
    }
    refuseCheckpointOptions(path, options);
    return openFolder(path);
  }
  const isGguf = (await magicOf(path)) === "GGUF";
  if (isGguf || basename(path).endsWith(".safetensors")) {
    refuseCheckpointOptions(path, options);
    return isGguf ? openGguf(path) : openFolder(dirname(path));
  }
  const { state, config } = options;
  return openCoreNet(path, { state, config: config === undefined ? undefined : await namedConfig(config) });
}

async function magicOf(path: string): Promise<string> {
  const file = await SourceFile.open(path);
  try {
    return Buffer.from(await file.read(0, Math.min(4, file.size))).toString("latin1");
  } finally {
    await file.close();
  }
}

/** The configuration of a size by name, or of a folder. */
export const namedConfig = async (config: string): Promise<OpenELMConfig> =>
  Object.hasOwn(OPENELM_SIZES, config) ? openelmConfig(config as OpenELMSize) : readConfig(config);
