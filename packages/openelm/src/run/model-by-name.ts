//! A model to be measured: of a size by name, or of a folder.
import { existsSync } from "node:fs";
import { OPENELM_SIZES, OpenELM, type OpenELMSize } from "@openelm/models";
import { UsageError } from "@openelm/native";
import type { DeviceLike, DType } from "@openelm/tensor";
import { findModelFolder } from "./model-folder.js";

export interface ModelByNameOptions {
  readonly device: DeviceLike;
  /** Default: bf16 for a size, that of its weights for a folder. */
  readonly dtype?: DType | undefined;
}

/**
 * The model of a size with random weights, or that of a folder with its own.
 *
 * @throws UsageError if there is neither.
 */
export async function modelByName(name: string, { device, dtype }: ModelByNameOptions): Promise<OpenELM> {
  if (name in OPENELM_SIZES) {
    // Cast first, so that no weight is ever there in f32.
    return new OpenELM(name as OpenELMSize).to({ dtype: dtype ?? "bf16", device }).initialize();
  }
  if (!existsSync(name)) {
    const sizes = Object.keys(OPENELM_SIZES).join(", ");
    throw new UsageError(`${name} is neither a folder nor a size; sizes are ${sizes}`);
  }
  return OpenELM.load(await findModelFolder(name), { ...(dtype && { dtype }), device });
}
