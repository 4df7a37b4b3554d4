//! Options that a conversion has no use for: who gives one expects it to do something.
import { access } from "node:fs/promises";
import { basename } from "node:path";
import { FileError, UsageError } from "@openelm/native";
import type { ConvertOptions } from "./convert.js";
import type { OpenModelOptions } from "./open-model.js";
import type { ModelFormat } from "./source.js";

const FORMS: readonly ModelFormat[] = ["hf", "corenet", "mlx", "gguf"];

/** @throws UsageError if an option is for another form than the wanted one; FileError if the tokenizer cannot be read. */
export async function checkOptions({
  to,
  quantize,
  encoding,
  dtype,
  tokenizer,
}: ConvertOptions): Promise<void> {
  if (!FORMS.includes(to)) throw new UsageError(`to must be ${FORMS.join(", ")}, got ${String(to)}`);
  if (quantize !== undefined && to !== "mlx")
    throw new UsageError(`weights in codes of MLX's kind are for the form mlx, not for ${to}`);
  if (encoding !== undefined && to !== "gguf")
    throw new UsageError(`an encoding is for the form gguf, not for ${to}; it has dtypes`);
  if (encoding !== undefined && dtype !== undefined && encoding !== dtype)
    throw new UsageError(`a gguf file's matrices are ${encoding} or ${dtype}, not both; leave one out`);
  if (quantize !== undefined) checkGroups(quantize);
  if (tokenizer !== undefined) await checkTokenizer(tokenizer);
}

/** @throws UsageError if MLX has no such codes. */
export function checkGroups({ bits, group }: NonNullable<ConvertOptions["quantize"]>): void {
  if (Number.isInteger(bits) && bits >= 2 && bits <= 8 && [32, 64, 128].includes(group)) return;
  throw new UsageError(
    `codes have 2 to 8 bits and groups of 32, 64 or 128, got ${bits} bits and groups of ${group}`,
  );
}

/** SentencePiece's models may have any name before the dot. */
async function checkTokenizer(file: string): Promise<void> {
  const name = basename(file);
  if (name !== "tokenizer.json" && !name.endsWith(".model"))
    throw new UsageError(`a tokenizer is a .model file of SentencePiece or a tokenizer.json, not ${file}`);
  await access(file).catch((cause: Error) => {
    throw new FileError(`${file} cannot be read: ${cause.message}`, { path: file, cause });
  });
}

/** @throws UsageError if options that only checkpoints of CoreNet need are given with another source. */
export function refuseCheckpointOptions(path: string, { state, config }: OpenModelOptions): void {
  if (state === "ema")
    throw new UsageError(`${path} is no checkpoint of CoreNet, which alone has a moving average`);
  if (config === undefined) return;
  throw new UsageError(
    `${path} has a configuration of its own; one is named for checkpoints of CoreNet alone`,
  );
}
