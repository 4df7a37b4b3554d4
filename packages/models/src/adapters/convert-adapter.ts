import { resolve } from "node:path";
import { UsageError } from "@openelm/native";
import type { DType } from "@openelm/tensor";
import { newFolder } from "../convert/files/new-folder.js";
import type { OpenELMConfig } from "../openelm/config.js";
import { type AdapterFormat, disposeAdapter } from "./adapter-file.js";
import { writeMlxAdapter } from "./mlx-adapter.js";
import { writePeft } from "./peft.js";
import { readAdapter } from "./read-adapter.js";

/** Options of {@link convertAdapter}. */
export interface ConvertAdapterOptions {
  readonly to: AdapterFormat;
  /** Casts the adapter. Default: as in the source. */
  readonly dtype?: DType | undefined;
  /** What PEFT shall call the model. Default: as in the source. */
  readonly base?: string | undefined;
  /** The configuration of the model, which mlx-lm's form needs: it counts layers from the last. */
  readonly config?: OpenELMConfig | undefined;
  readonly replace?: boolean | undefined;
}

/** What was made of an adapter. */
export interface ConvertedAdapter {
  readonly from: AdapterFormat;
  readonly to: AdapterFormat;
  readonly layers: number;
  readonly parameters: number;
}

/**
 * Brings an adapter into the form of PEFT or of mlx-lm.
 *
 * @throws FileError, FormatError naming the file; UsageError if mlx-lm has no such adapters, or the configuration is missing.
 * @example
 * ```ts no-run
 * await convertAdapter("mlx-adapters", "peft-adapter", { to: "peft", base: "apple/OpenELM-270M" });
 * ```
 */
export async function convertAdapter(
  source: string,
  destination: string,
  { to, dtype, base, config, replace = false }: ConvertAdapterOptions,
): Promise<ConvertedAdapter> {
  if (resolve(source) === resolve(destination))
    throw new UsageError(`the source and the destination are both ${source}; write elsewhere`);
  const file = await readAdapter(source, { dtype });
  try {
    const wanted = { ...file, format: to, base: base ?? file.base };
    if (to === "mlx" && config === undefined)
      throw new UsageError(
        "mlx-lm counts layers from the last: say which model the adapter is for by its configuration",
      );
    await newFolder(destination, { replace }, (folder) =>
      to === "mlx" ? writeMlxAdapter(folder, wanted, config!.layers) : writePeft(folder, wanted),
    );
    const parts = [...file.layers.values()].flatMap(({ a, b, magnitude }) => [a, b, magnitude]);
    return {
      from: file.format,
      to,
      layers: file.layers.size,
      parameters: parts.reduce((sum, part) => sum + (part?.size ?? 0), 0),
    };
  } finally {
    disposeAdapter(file);
  }
}
