//! What is kept of a folder that was converted, so that the way back gives the same bytes.
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { FolderLayout, ModelFormat } from "../source.js";

/** The file beside a converted model. */
const NAME = "conversion.json";

interface Origin {
  readonly version: 1;
  readonly format: ModelFormat;
  readonly config: string;
  readonly index?: string | undefined;
  readonly files: readonly { readonly name: string; readonly header: string }[];
}

/** Notes how the folder lay that a model was made from. */
export async function writeOrigin(folder: string, layout: FolderLayout): Promise<void> {
  const files = layout.files.map(({ name, header }) => ({
    name,
    header: Buffer.from(header.subarray(8)).toString(),
  }));
  const origin: Origin = {
    version: 1,
    format: layout.format,
    config: layout.config,
    index: layout.index,
    files,
  };
  await writeFile(join(folder, NAME), `${JSON.stringify(origin, null, 2)}\n`);
}

/** The note in a folder; undefined where there is none, or none that can be used: it changes where bytes lie alone. */
export async function readOrigin(folder: string): Promise<FolderLayout | undefined> {
  try {
    const origin = JSON.parse(await readFile(join(folder, NAME), "utf8")) as Origin;
    if (origin.version !== 1 || typeof origin.config !== "string") return undefined;
    const files = origin.files.map(({ name, header }) => {
      if (!/^[\w.-]+\.safetensors$/.test(name)) throw new Error(name);
      const json = Buffer.from(header);
      const bytes = Buffer.alloc(8 + json.length);
      bytes.writeBigUInt64LE(BigInt(json.length));
      json.copy(bytes, 8);
      JSON.parse(header);
      return { name, header: new Uint8Array(bytes) };
    });
    return { format: origin.format, config: origin.config, files, index: origin.index };
  } catch {
    return undefined;
  }
}
