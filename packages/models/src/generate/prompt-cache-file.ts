//! Prompt caches as files: safetensors with the keys and values of the filled positions, and the tokens.
import { createHash } from "node:crypto";
import { FormatError, UsageError } from "@openelm/native";
import {
  loadSafetensors,
  type Safetensors,
  saveSafetensors,
  scope,
  type Tensor,
  TREE,
  tensor,
} from "@openelm/tensor";
import type { OpenELM } from "../openelm/model.js";
import { PromptCache } from "./prompt-cache.js";

const FORMAT = "openelm-prompt-cache";
const VERSION = "1";

/**
 * Writes a prompt cache into a safetensors file, which only the model that filled it can use.
 *
 * @throws FileError if the file cannot be written, UsageError if the cache is empty.
 * @example
 * ```ts no-run
 * using promptCache = PromptCache.empty(model);
 * await generate(model, "A long manual", { tokenizer, promptCache }).result();
 * await savePromptCache("manual.safetensors", promptCache, model);
 * using again = await loadPromptCache("manual.safetensors", model);
 * ```
 */
export async function savePromptCache(
  path: string,
  { cache, ids }: PromptCache,
  model: OpenELM,
): Promise<void> {
  const { length, layerCount } = cache;
  if (length === 0) throw new UsageError("savePromptCache: the cache holds nothing yet");
  const fingerprint = await fingerprintOf(model);
  const tensors = scope(() => {
    const all: Record<string, Tensor> = {
      ids: tensor(Int32Array.from(ids), { device: cache.device }),
    };
    for (let i = 0; i < layerCount; i++) {
      const { k, v } = cache.layer(i);
      all[`keys.${i}`] = (k.at(0, ":", `:${length}`) as Tensor).copy();
      all[`values.${i}`] = (v.at(0, ":", `:${length}`) as Tensor).copy();
    }
    return all;
  });
  try {
    await saveSafetensors(path, tensors, {
      metadata: { format: FORMAT, version: VERSION, model: fingerprint },
    });
  } finally {
    for (const tensor of Object.values(tensors)) tensor.dispose();
  }
}

/**
 * Reads a prompt cache.
 *
 * @param options - Most positions that it will hold (the model's context).
 * @throws FormatError if the file is none, or belongs to another model, dtype or set of weights; FileError if it cannot be
 * read; UsageError if the capacity is less than what the file holds.
 */
export async function loadPromptCache(
  path: string,
  model: OpenELM,
  { capacity = model.config.maxContextLength }: { readonly capacity?: number | undefined } = {},
): Promise<PromptCache> {
  const cache = model.newCache({ capacity });
  try {
    using file = await loadSafetensors(path, { device: cache.device, mmap: false });
    const { metadata } = file;
    const refuse = (why: string): never => {
      throw new FormatError(`${path}: ${why}`, { path });
    };
    if (metadata.format !== FORMAT) refuse("is no prompt cache");
    if (metadata.version !== VERSION)
      refuse(`is a prompt cache of version ${metadata.version}, this is ${VERSION}`);
    if (metadata.model !== (await fingerprintOf(model))) {
      refuse(
        "was made with another model, or with this one in another dtype or with other weights; make it again",
      );
    }
    const ids = file.get("ids") ?? refuse("has no tokens");
    if (ids.size > capacity) {
      throw new UsageError(
        `loadPromptCache: ${path} holds ${ids.size} tokens, more than the capacity of ${capacity}`,
      );
    }
    const tokens = Array.from(await ids.data(), Number);
    scope(() => {
      for (let i = 0; i < cache.layerCount; i++) {
        const { k, v } = cache.layer(i);
        for (const [name, whole] of [
          [`keys.${i}`, k],
          [`values.${i}`, v],
        ] as const) {
          const [, heads, , dim] = whole.shape;
          const part =
            partOf(file, name, [heads!, tokens.length, dim!]) ??
            refuse(`has no ${name} of ${tokens.length} positions`);
          whole.setAt([0, ":", `:${tokens.length}`], part);
        }
      }
    });
    cache.restore(tokens.length);
    return new PromptCache(cache, tokens);
  } catch (error) {
    cache.dispose();
    throw error;
  }
}

function partOf(file: Safetensors, name: string, shape: readonly number[]): Tensor | undefined {
  const part = file.get(name);
  return part?.shape.join() === shape.join() ? part : undefined;
}

/** Elements of each weight that tell it from others. */
const SAMPLE = 256;

/** What tells a model from others: its configuration, and the names, shapes, dtypes and first elements of its weights. */
async function fingerprintOf(model: OpenELM): Promise<string> {
  const hash = createHash("sha256").update(JSON.stringify(model.config));
  const entries = [...model[TREE]()];
  const samples = scope(() =>
    entries.map(({ tensor }) => (tensor.reshape([-1]).at(`:${SAMPLE}`) as Tensor).copy()),
  );
  const reads = samples.map((sample) => sample.bytes());
  for (const sample of samples) sample.dispose();
  for (const [i, bytes] of (await Promise.all(reads)).entries()) {
    const { path, tensor } = entries[i]!;
    hash.update(`${path} ${tensor.dtype} ${tensor.shape.join()} `).update(bytes);
  }
  return hash.digest("hex");
}
