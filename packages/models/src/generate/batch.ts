import { UsageError } from "@openelm/native";
import type { CausalModel } from "./contracts.js";
import { decode } from "./decode.js";
import type { GenerateEvent, GenerateResult } from "./generate.js";
import { checkDecoding, type DecodeOptions } from "./options.js";
import { type Prompt, promptIds } from "./prompt.js";
import { StepKeeper } from "./step.js";
import { TextWriter } from "./text-writer.js";
import type { Token } from "./tokens.js";

/** One more piece of one of several texts. */
export interface BatchEvent extends GenerateEvent {
  /** Which prompt it continues. */
  readonly index: number;
}

/** Several texts as they are made; `results()` collects them. Leaving the loop frees the cache. */
export interface BatchGeneration extends AsyncIterable<BatchEvent> {
  /**
   * In the order of the prompts.
   *
   * @param onEvent - Hears of each piece as it comes.
   */
  results(onEvent?: (event: BatchEvent) => void): Promise<GenerateResult[]>;
}

/**
 * Continues several prompts in one pass a token.
 *
 * Prompts may have different lengths; nothing is padded by the caller. Text `i` is that of {@link generate} with the seed
 * `seed + i`, up to what roundings of larger products make of it. Every text has `maxTokens` of its own, and ends for
 * itself.
 *
 * @throws As {@link generate}; UsageError if there is no prompt.
 * @example
 * ```ts
 * const prompts = ["ocean (noun):", "to swim (verb):"];
 * const [ocean, swim] = await generateBatch(model, prompts, { tokenizer, maxTokens: 8 }).results();
 * ```
 */
export function generateBatch(
  model: CausalModel,
  prompts: readonly Prompt[],
  options: DecodeOptions,
): BatchGeneration {
  checkDecoding(options);
  if (prompts.length === 0) throw new UsageError("generateBatch: there must be a prompt");
  const rows: Row[] = [];
  let started = false;
  const start = (): AsyncGenerator<BatchEvent> => {
    if (started) throw new UsageError("a generation can be read once; call generateBatch again for another");
    started = true;
    return run(model, prompts, options, rows);
  };
  return {
    [Symbol.asyncIterator]: start,
    async results(onEvent) {
      const texts = prompts.map(() => ({ text: "", tokens: [] as Token[] }));
      for await (const event of start()) {
        onEvent?.(event);
        const { index, text, ...token } = event;
        texts[index]!.text += text;
        if (token.id >= 0) texts[index]!.tokens.push(token);
      }
      return texts.map(({ text, tokens }, i) => {
        const { writer, promptTokens } = rows[i]!;
        const usage = { promptTokens, completionTokens: tokens.length };
        return { text, tokens, ids: tokens.map(({ id }) => id), finishReason: writer.finishReason, usage };
      });
    },
  };
}

/** One of the texts. */
interface Row {
  readonly writer: TextWriter;
  readonly promptTokens: number;
  /** Tokens that it may have. */
  readonly most: number;
  isOver: boolean;
}

async function* run(
  model: CausalModel,
  texts: readonly Prompt[],
  options: DecodeOptions,
  rows: Row[],
): AsyncGenerator<BatchEvent> {
  const { tokenizer, maxTokens = 128, stop, signal } = options;
  const { eosId, maxContextLength } = model.config;
  signal?.throwIfAborted();
  const prompts = await Promise.all(texts.map((text) => promptIds(model, text, options)));
  for (const { length } of prompts) {
    const writer = new TextWriter(tokenizer, stop, options.stopIds ?? [eosId]);
    rows.push({
      writer,
      promptTokens: length,
      most: Math.min(maxTokens, maxContextLength - length),
      isOver: false,
    });
  }
  const most = Math.max(...rows.map((row) => row.most));
  // A text that has ended is carried along, possibly past the context: its row is not read any more.
  const longest = Math.max(...prompts.map(({ length }) => length));
  using cache = model.newCache({ batch: rows.length, capacity: longest + most });
  using steps = new StepKeeper();
  let step = 0;
  for await (const tokens of decode({ model, cache, steps, prompts, options, most })) {
    step++;
    for (const [index, row] of rows.entries()) {
      if (row.isOver) continue;
      const token = tokens[index]!;
      const text = row.writer.push(token.id);
      if (text !== undefined) yield { ...token, index, text };
      if (!row.writer.isDone && step < row.most) continue;
      row.isOver = true;
      const rest = row.writer.end();
      if (rest !== "") yield { index, id: -1, text: rest };
    }
    if (rows.every((row) => row.isOver)) break;
  }
}
