import { ConfigError, UsageError } from "@openelm/native";
import type { KVCache } from "@openelm/nn";
import { Generator, scope, type Tensor, tensor } from "@openelm/tensor";
import { type SamplingOptions, sample } from "./sampling.js";

/** What generation needs of a tokenizer; the class of `@openelm/data` has it. */
export interface Tokenizer {
  encode(text: string): Promise<Int32Array>;
  decode(ids: ArrayLike<number>): Promise<string>;
  /** Turns ids into text as they come; a character that takes several tokens comes with its last. */
  stream(): { push(id: number): string; end(): string };
}

/** What generation needs of a model. */
export interface CausalModel {
  forward(ids: Tensor, context: { readonly cache: KVCache }): Tensor;
  newCache(options: { readonly batch?: number; readonly capacity?: number }): KVCache;
  readonly config: {
    readonly maxContextLength: number;
    readonly vocabSize: number;
    readonly bosId: number;
    readonly eosId: number;
  };
}

export interface GenerateOptions extends SamplingOptions {
  readonly tokenizer: Tokenizer;
  /** Most tokens that are made. Default 128. */
  readonly maxTokens?: number;
  /** Ends before any of these texts. */
  readonly stop?: string | readonly string[];
  /** Same seed, same text. Default 0. */
  readonly seed?: number;
  /** Whether the prompt starts with the begin-of-text token. Default `true`. */
  readonly addBos?: boolean;
  /** Tokens that end the text. Default: the model's end-of-text token. */
  readonly stopIds?: readonly number[];
  readonly signal?: AbortSignal;
}

/** One more piece of text. */
export interface GenerateEvent {
  readonly id: number;
  /** Text that is complete with this token; may be empty. */
  readonly text: string;
}

export interface GenerateResult {
  readonly text: string;
  readonly ids: readonly number[];
  readonly finishReason: "stop" | "length";
  readonly usage: { readonly promptTokens: number; readonly completionTokens: number };
}

/** Text as it is made; `result()` collects it. Leaving the loop frees the cache. */
export interface Generation extends AsyncIterable<GenerateEvent> {
  result(): Promise<GenerateResult>;
}

/**
 * Continues a prompt.
 *
 * @example
 * ```ts
 * for await (const { text } of generate(model, "ocean (noun):", { tokenizer })) process.stdout.write(text);
 * const { text, finishReason } = await generate(model, prompt, { tokenizer, temperature: 0 }).result();
 * ```
 */
export function generate(
  model: CausalModel,
  prompt: string | ArrayLike<number>,
  options: GenerateOptions,
): Generation {
  check(options);
  const outcome: { finishReason: "stop" | "length"; promptTokens: number } = {
    finishReason: "length",
    promptTokens: 0,
  };
  let started = false;
  const start = (): AsyncGenerator<GenerateEvent> => {
    if (started) throw new UsageError("a generation can be read once; call generate again for another");
    started = true;
    return run(model, prompt, options, outcome);
  };
  return {
    [Symbol.asyncIterator]: start,
    async result() {
      const ids: number[] = [];
      let text = "";
      for await (const event of start()) {
        if (event.id >= 0) ids.push(event.id);
        text += event.text;
      }
      const { finishReason, promptTokens } = outcome;
      return { text, ids, finishReason, usage: { promptTokens, completionTokens: ids.length } };
    },
  };
}

function check({
  maxTokens = 128,
  temperature = 1,
  topK,
  topP,
  minP,
  repetitionPenalty = 1,
}: GenerateOptions): void {
  const wrong = (name: string, rule: string, value: unknown): ConfigError =>
    new ConfigError(`generate: ${name} must be ${rule}, got ${value}`);
  if (!Number.isInteger(maxTokens) || maxTokens < 1)
    throw wrong("maxTokens", "a whole number above 0", maxTokens);
  if (!(temperature >= 0)) throw wrong("temperature", "0 or more", temperature);
  if (topK !== undefined && !(Number.isInteger(topK) && topK >= 1))
    throw wrong("topK", "a whole number above 0", topK);
  if (topP !== undefined && !(topP > 0 && topP <= 1)) throw wrong("topP", "in (0, 1]", topP);
  if (minP !== undefined && !(minP >= 0 && minP <= 1)) throw wrong("minP", "in [0, 1]", minP);
  if (!(repetitionPenalty > 0)) throw wrong("repetitionPenalty", "above 0", repetitionPenalty);
}

async function* run(
  model: CausalModel,
  prompt: string | ArrayLike<number>,
  options: GenerateOptions,
  outcome: { finishReason: "stop" | "length"; promptTokens: number },
): AsyncGenerator<GenerateEvent> {
  const { tokenizer, maxTokens = 128, seed = 0, signal, addBos = true } = options;
  const { config } = model;
  const ids: number[] = addBos ? [config.bosId] : [];
  ids.push(...Array.from(typeof prompt === "string" ? await tokenizer.encode(prompt) : prompt));
  if (ids.length === 0) throw new UsageError("generate: an empty prompt needs addBos");
  outcome.promptTokens = ids.length;
  const stopIds = new Set(options.stopIds ?? [config.eosId]);
  const stops = new StopFilter([options.stop ?? []].flat());
  const stream = tokenizer.stream();
  const generator = new Generator(seed);
  using cache = model.newCache({ capacity: ids.length + maxTokens });
  let pending = ids.slice();
  for (let made = 0; made < maxTokens; made++) {
    signal?.throwIfAborted();
    const next = scope(() => step(model, pending, ids, cache, generator, options));
    const id = await next.item();
    next.dispose();
    if (stopIds.has(id)) {
      outcome.finishReason = "stop";
      break;
    }
    ids.push(id);
    pending = [id];
    const text = stops.push(stream.push(id));
    if (stops.found) {
      outcome.finishReason = "stop";
      if (text !== "") yield { id, text };
      return;
    }
    yield { id, text };
  }
  const rest = stops.push(stream.end()) + stops.end();
  if (rest !== "") yield { id: -1, text: rest };
}

/** The next token after `pending`, as a tensor without axes. */
function step(
  model: CausalModel,
  pending: readonly number[],
  ids: readonly number[],
  cache: KVCache,
  generator: Generator,
  options: GenerateOptions,
): Tensor {
  const logits = model.forward(tensor(Int32Array.from(pending), { shape: [1, pending.length] }), { cache });
  const last = logits.at(0, "-1:") as Tensor;
  const seen = tensor(Int32Array.from(ids), { shape: [1, ids.length] });
  return sample(last, seen, generator, options).reshape([]);
}

/** Holds text back as long as it may be the beginning of a stop text. */
class StopFilter {
  #held = "";
  found = false;
  readonly #stops: readonly string[];

  constructor(stops: readonly string[]) {
    this.#stops = stops.filter((stop) => stop !== "");
  }

  push(text: string): string {
    this.#held += text;
    const at = Math.min(
      ...this.#stops.map((stop) => this.#held.indexOf(stop)).filter((i) => i >= 0),
      Number.POSITIVE_INFINITY,
    );
    if (at !== Number.POSITIVE_INFINITY) {
      this.found = true;
      return this.#held.slice(0, at);
    }
    const keep = Math.max(0, ...this.#stops.map((stop) => overlap(this.#held, stop)));
    const out = this.#held.slice(0, this.#held.length - keep);
    this.#held = this.#held.slice(out.length);
    return out;
  }

  end(): string {
    return this.found ? "" : this.#held;
  }
}

/** How much of the end of `text` is the beginning of `stop`. */
function overlap(text: string, stop: string): number {
  for (let length = Math.min(text.length, stop.length - 1); length > 0; length--) {
    if (text.endsWith(stop.slice(0, length))) return length;
  }
  return 0;
}
