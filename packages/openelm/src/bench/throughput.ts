//! How many tokens a second a model reads and makes, as the OpenELM paper measures it.
import { type CausalModel, generate, type Tokenizer } from "@openelm/models";
import { UsageError } from "@openelm/native";
import { type Device, Generator, randint } from "@openelm/tensor";

/** What is measured. */
export interface ThroughputOptions {
  /** Random tokens that are read. */
  readonly promptTokens: number;
  /** Tokens that are made after the first. */
  readonly newTokens: number;
  /** Where the model is. */
  readonly device: Device;
  readonly capture?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Tokens a second. */
export interface Throughput {
  /** Of the prompt: until its first token is there. */
  readonly prompt: number;
  /** Of the text, after the first token. */
  readonly generation: number;
  /** Of both, over the whole time. */
  readonly total: number;
  /** Most bytes in tensors at any token: weights, cache, and what is on its way. */
  readonly memory: number;
}

/** The text does not matter here. */
const SILENT: Tokenizer = {
  encode: () => Promise.resolve(new Int32Array()),
  decode: () => Promise.resolve(""),
  stream: () => ({ push: () => "", end: () => "" }),
};

/**
 * Reads a prompt and makes the likeliest tokens once, batch 1, with a key-value cache.
 *
 * @throws UsageError if both together do not fit the model's context.
 */
export async function measureThroughput(
  model: CausalModel,
  { promptTokens, newTokens, device, capture, signal }: ThroughputOptions,
): Promise<Throughput> {
  const { maxContextLength, vocabSize } = model.config;
  if (promptTokens + newTokens + 1 > maxContextLength) {
    throw new UsageError(
      `a prompt of ${promptTokens} and ${newTokens} more tokens do not fit the model's context of ${maxContextLength}`,
    );
  }
  const generator = new Generator(1);
  using random = randint([promptTokens], 0, vocabSize, { generator });
  const prompt = (await random.data()) as Int32Array;
  const options = { tokenizer: SILENT, addBos: false, stopIds: [], temperature: 0, signal };
  const start = performance.now();
  let first = start;
  let [made, memory] = [0, 0];
  const all = { ...options, maxTokens: newTokens + 1, ...(capture !== undefined && { capture }) };
  for await (const { id } of generate(model, prompt, all)) {
    if (id >= 0 && ++made === 1) first = performance.now();
    memory = Math.max(memory, device.memory().current);
  }
  const end = performance.now();
  const [read, write] = [(first - start) / 1000, (end - first) / 1000];
  return {
    prompt: promptTokens / read,
    generation: (made - 1) / write,
    total: (promptTokens + made - 1) / (read + write),
    memory,
  };
}

/** The round in the middle by its total. */
export function middle(rounds: readonly Throughput[]): Throughput {
  const sorted = [...rounds].sort((a, b) => a.total - b.total);
  return sorted[Math.floor((sorted.length - 1) / 2)]!;
}
