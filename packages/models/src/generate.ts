import { inference } from "@openelm/autograd";
import { ConfigError, UsageError } from "@openelm/native";
import type { KVCache } from "@openelm/nn";
import { Generator, scope, type Tensor, tensor } from "@openelm/tensor";
import { checkSampling, type SamplingOptions, sample } from "./sampling.js";

/** What generation needs of a tokenizer; the class of `@openelm/data` has it. */
export interface Tokenizer {
  encode(text: string): Promise<Int32Array>;
  decode(ids: Int32Array | readonly number[]): Promise<string>;
  /** Turns ids into text as they come; a character that takes several tokens comes with its last. */
  stream(): { push(id: number): string; end(): string };
}

/** What generation needs of a model. */
export interface CausalModel {
  /** Logits `[batch, time or 1, vocabulary]`; with `last` those of the last position are enough. */
  forward(ids: Tensor, context: { readonly cache: KVCache; readonly last: true }): Tensor;
  newCache(options: { readonly batch?: number; readonly capacity?: number }): KVCache;
  readonly config: {
    readonly maxContextLength: number;
    readonly vocabSize: number;
    readonly bosId: number;
    readonly eosId: number;
  };
}

/** Options of {@link generate}. */
export interface GenerateOptions extends SamplingOptions {
  readonly tokenizer: Tokenizer;
  /** Most tokens that are made; prompt and text together also end at the model's context. Default 128. */
  readonly maxTokens?: number | undefined;
  /** Ends before any of these texts. Default: none. */
  readonly stop?: string | readonly string[] | undefined;
  /** Same seed, same text. A whole number of 0 or more; default 0. */
  readonly seed?: number | undefined;
  /** Whether the prompt starts with the begin-of-text token. Default `true`. */
  readonly addBos?: boolean | undefined;
  /** Tokens that end the text. Default: the model's end-of-text token. */
  readonly stopIds?: readonly number[] | undefined;
  /** Ends the generation; it rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
}

/** One more piece of text. */
export interface GenerateEvent {
  /** The token; −1 for text that was held back and comes after the last token. */
  readonly id: number;
  /** Text that is complete with this token; may be empty. */
  readonly text: string;
}

/** A text that is complete. */
export interface GenerateResult {
  readonly text: string;
  readonly ids: readonly number[];
  /** `"stop"` at a stop text or token, `"length"` at `maxTokens` or the end of the model's context. */
  readonly finishReason: FinishReason;
  /** Counts of tokens: those of the prompt, begin-of-text included, and those that were made. */
  readonly usage: { readonly promptTokens: number; readonly completionTokens: number };
}

/** Why a text ended. */
export type FinishReason = "stop" | "length";

/** Text as it is made; `result()` collects it. Leaving the loop frees the cache. */
export interface Generation extends AsyncIterable<GenerateEvent> {
  result(): Promise<GenerateResult>;
}

/**
 * Continues a prompt, one sequence at a time.
 *
 * Generations are independent of each other and of anything else that uses the model between two tokens.
 *
 * @throws ConfigError if an option is out of its range. The generation rejects with UsageError if the prompt is empty
 * without a begin-of-text token, holds a token that the model does not know, or fills the model's context.
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
  const outcome: Outcome = { finishReason: "length", promptTokens: 0 };
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

/** What a run tells beside its events. */
interface Outcome {
  finishReason: FinishReason;
  promptTokens: number;
}

function check({ maxTokens = 128, seed = 0, ...options }: GenerateOptions): void {
  if (!Number.isSafeInteger(maxTokens) || maxTokens < 1) {
    throw new ConfigError(`maxTokens must be a whole number above 0, got ${maxTokens}`);
  }
  if (!Number.isSafeInteger(seed) || seed < 0) {
    throw new ConfigError(`seed must be a whole number of 0 or more, got ${seed}`);
  }
  checkSampling(options);
}

async function* run(
  model: CausalModel,
  prompt: string | ArrayLike<number>,
  options: GenerateOptions,
  outcome: Outcome,
): AsyncGenerator<GenerateEvent> {
  const { tokenizer, maxTokens = 128, seed = 0, signal } = options;
  const { eosId, maxContextLength } = model.config;
  signal?.throwIfAborted();
  const ids = await promptIds(model, prompt, options);
  outcome.promptTokens = ids.length;
  const stopIds = new Set(options.stopIds ?? [eosId]);
  const stops = new StopFilter([options.stop ?? []].flat());
  const stream = tokenizer.stream();
  const generator = new Generator(seed);
  const capacity = Math.min(ids.length + maxTokens, maxContextLength);
  using cache = model.newCache({ capacity });
  let pending: readonly number[] = ids.slice();
  while (ids.length < capacity) {
    signal?.throwIfAborted();
    const id = await nextId(model, { pending, ids, cache, generator }, options);
    signal?.throwIfAborted();
    if (stopIds.has(id)) {
      outcome.finishReason = "stop";
      break;
    }
    ids.push(id);
    pending = [id];
    yield { id, text: stops.push(stream.push(id)) };
    if (stops.found) {
      outcome.finishReason = "stop";
      return;
    }
  }
  const rest = stops.push(stream.end()) + stops.end();
  if (stops.found) outcome.finishReason = "stop";
  if (rest !== "") yield { id: -1, text: rest };
}

/** @throws UsageError if nothing can follow. */
async function promptIds(
  { config }: CausalModel,
  prompt: string | ArrayLike<number>,
  { tokenizer, addBos = true }: GenerateOptions,
): Promise<number[]> {
  const { bosId, vocabSize, maxContextLength } = config;
  const own = Array.from(typeof prompt === "string" ? await tokenizer.encode(prompt) : prompt);
  const ids = addBos ? [bosId, ...own] : own;
  if (ids.length === 0) throw new UsageError("generate: an empty prompt needs addBos");
  const unknown = ids.find((id) => !(Number.isInteger(id) && id >= 0 && id < vocabSize));
  if (unknown !== undefined) {
    throw new UsageError(
      `generate: the prompt has token ${unknown}, but the model knows 0 to ${vocabSize - 1}; is the tokenizer its own?`,
    );
  }
  if (ids.length >= maxContextLength) {
    throw new UsageError(
      `generate: the prompt has ${ids.length} tokens, which leaves no room in the model's context of ` +
        `${maxContextLength}; shorten it`,
    );
  }
  return ids;
}

/** What one step of a generation works on. */
interface Step {
  /** Tokens that the cache does not hold yet. */
  readonly pending: readonly number[];
  /** All tokens so far. */
  readonly ids: readonly number[];
  readonly cache: KVCache;
  readonly generator: Generator;
}

async function nextId(
  model: CausalModel,
  { pending, ids, cache, generator }: Step,
  options: GenerateOptions,
): Promise<number> {
  const { device } = cache;
  const row = (values: readonly number[]): Tensor =>
    tensor(Int32Array.from(values), { shape: [1, values.length], device });
  using next = inference(() =>
    scope(() => {
      const last = model.forward(row(pending), { cache, last: true }).at(0, "-1:") as Tensor;
      const seen = options.repetitionPenalty === undefined ? undefined : row(ids);
      return sample(last, { ...options, seen, generator }).reshape([]);
    }),
  );
  return await next.item();
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
