import { UsageError } from "@openelm/native";
import type { Constraint } from "../constrain/constraint.js";
import type { CausalModel } from "./contracts.js";
import { decode } from "./decode.js";
import { checkDecoding, checkDraft, type DecodeOptions, type DraftOptions, MOST_DRAFTS } from "./options.js";
import { type Prompt, promptIds } from "./prompt.js";
import { PromptCache } from "./prompt-cache.js";
import { drafterFor } from "./speculative/drafter.js";
import { speculate } from "./speculative/speculate.js";
import { type FinishReason, TextWriter } from "./text-writer.js";
import type { Token } from "./tokens.js";

/** Options of {@link generate}. */
export interface GenerateOptions extends DecodeOptions {
  /**
   * Speculative decoding: guesses come from elsewhere, and the model checks several in one pass. Greedy text is that
   * without it, drawn text has the same distribution. Default: none.
   */
  readonly draft?: DraftOptions | undefined;
  /**
   * What was read before, so that the beginning that it shares with the prompt is not read again; afterwards it holds
   * this text too. Default: a cache of this generation alone.
   */
  readonly promptCache?: PromptCache | undefined;
  /** Allows only tokens that a grammar allows. Not with `draft`. Default: none. */
  readonly constraint?: Constraint | undefined;
}

/** One more piece of text. */
export interface GenerateEvent extends Token {
  /** The token; −1 for text that was held back and comes after the last token. */
  readonly id: number;
  /** Text that is complete with this token; may be empty. */
  readonly text: string;
}

/** Counts of tokens. */
export interface Usage {
  /** Those of the prompt, begin-of-text included. */
  readonly promptTokens: number;
  /** Those that were made. */
  readonly completionTokens: number;
  /** Those of the prompt that a prompt cache held already. */
  readonly cachedTokens?: number;
  /** Guesses that the model checked, and those that it took. */
  readonly draftTokens?: number;
  readonly acceptedTokens?: number;
}

/** A text that is complete. */
export interface GenerateResult {
  readonly text: string;
  readonly ids: readonly number[];
  /** The tokens with what the option `logprobs` tells of them. */
  readonly tokens: readonly Token[];
  /** `"stop"` at a stop text or token, `"length"` at `maxTokens` or the end of the model's context. */
  readonly finishReason: FinishReason;
  readonly usage: Usage;
}

/** Text as it is made; `result()` collects it. Leaving the loop frees the cache. */
export interface Generation extends AsyncIterable<GenerateEvent> {
  /** @param onEvent - Hears of each piece as it comes. */
  result(onEvent?: (event: GenerateEvent) => void): Promise<GenerateResult>;
}

/**
 * Continues a prompt.
 *
 * Generations are independent of each other and of anything else that uses the model between two tokens.
 *
 * @throws ConfigError if an option is out of its range. The generation rejects with UsageError if the prompt is empty
 * without a begin-of-text token, holds a token that the model does not know, or fills the model's context; with OpError
 * `KERNEL_FAILED` if the model gives no numbers.
 * @example
 * ```ts
 * for await (const { text } of generate(model, "ocean (noun):", { tokenizer })) process.stdout.write(text);
 * const { text, finishReason } = await generate(model, prompt, { tokenizer, temperature: 0 }).result();
 * ```
 * @see Leviathan et al., 2023, arXiv:2211.17192, speculative decoding
 */
export function generate(model: CausalModel, prompt: Prompt, options: GenerateOptions): Generation {
  checkDecoding(options);
  if (options.draft !== undefined) checkDraft(options.draft, model);
  if (options.draft !== undefined && options.constraint !== undefined) {
    throw new UsageError(
      "generate: a constraint needs each token before the next, so it cannot go with draft",
    );
  }
  const outcome: Outcome = { finishReason: "length", usage: { promptTokens: 0 } };
  let started = false;
  const start = (): AsyncGenerator<GenerateEvent> => {
    if (started) throw new UsageError("a generation can be read once; call generate again for another");
    started = true;
    return run(model, prompt, options, outcome);
  };
  return {
    [Symbol.asyncIterator]: start,
    async result(onEvent) {
      const tokens: Token[] = [];
      let all = "";
      for await (const event of start()) {
        onEvent?.(event);
        const { text, ...token } = event;
        if (token.id >= 0) tokens.push(token);
        all += text;
      }
      const ids = tokens.map(({ id }) => id);
      const usage = { ...outcome.usage, completionTokens: ids.length };
      return { text: all, ids, tokens, finishReason: outcome.finishReason, usage };
    },
  };
}

/** What a run tells beside its events. */
interface Outcome {
  finishReason: FinishReason;
  usage: Omit<Usage, "completionTokens">;
}

async function* run(
  model: CausalModel,
  prompt: Prompt,
  options: GenerateOptions,
  outcome: Outcome,
): AsyncGenerator<GenerateEvent> {
  const { tokenizer, maxTokens = 128, signal, stop, draft, promptCache } = options;
  const { eosId, maxContextLength } = model.config;
  signal?.throwIfAborted();
  const ids = await promptIds(model, prompt, options);
  outcome.usage = { promptTokens: ids.length };
  const most = Math.min(maxTokens, maxContextLength - ids.length);
  const writer = new TextWriter(tokenizer, stop, options.stopIds ?? [eosId]);
  // A check of guesses may go past the last token that is wanted.
  const room = ids.length + most + (draft === undefined ? 0 : MOST_DRAFTS);
  const own = promptCache === undefined ? PromptCache.empty(model, room) : undefined;
  const session = promptCache ?? own!;
  const lease = session.begin(ids, most);
  if (promptCache !== undefined) outcome.usage = { ...outcome.usage, cachedTokens: session.cache.length };
  const { cache, steps: kept } = session;
  const decoding = { model, cache, steps: kept, prompts: [ids], options, most };
  using drafter = draft && drafterFor(draft, decoding);
  const steps = drafter
    ? speculate({ ...decoding, drafter, tell: (counts) => Object.assign(outcome.usage, counts) })
    : decode({ ...decoding, constraint: options.constraint });
  try {
    for await (const [token] of steps) {
      const text = writer.push(token!.id);
      if (text !== undefined) {
        ids.push(token!.id);
        yield { ...token!, text };
      }
      if (writer.isDone) break;
    }
    const rest = writer.end();
    if (rest !== "") yield { id: -1, text: rest };
    outcome.finishReason = writer.finishReason;
  } finally {
    lease.end(ids);
    own?.dispose();
  }
}
