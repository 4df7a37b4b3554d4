import { existsSync } from "node:fs";
import { join } from "node:path";
import type { DType } from "@openelm/tensor";
import type { AdapterFile } from "./adapter-file.js";
import { MLX_WEIGHTS, readMlxAdapter } from "./mlx-adapter.js";
import { PEFT_CONFIG, readPeft } from "./peft.js";

/** Whether a folder holds an adapter and no model. */
export const isAdapterFolder = (folder: string): boolean =>
  existsSync(join(folder, PEFT_CONFIG)) && !existsSync(join(folder, "config.json"));

/**
 * Reads an adapter's folder, of PEFT or of mlx-lm.
 *
 * @throws FileError, FormatError naming the file.
 */
export function readAdapter(
  folder: string,
  options: { readonly dtype?: DType | undefined } = {},
): Promise<AdapterFile> {
  return existsSync(join(folder, MLX_WEIGHTS)) ? readMlxAdapter(folder, options) : readPeft(folder, options);
}
