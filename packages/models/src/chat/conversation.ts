import { UsageError } from "@openelm/native";
import type { CausalModel } from "../generate/contracts.js";
import { type GenerateEvent, type GenerateOptions, generate } from "../generate/generate.js";
import { PromptCache } from "../generate/prompt-cache.js";
import { type ChatTokenizer, encodeConversation } from "./encode.js";
import type { ChatTemplate, Message } from "./template.js";

/** What a {@link Conversation} is held with. */
export interface ConversationOptions {
  readonly tokenizer: ChatTokenizer;
  readonly template: ChatTemplate;
  /** What the model is told before the first turn. */
  readonly system?: string | undefined;
  /** Turns that came before, without the system's. */
  readonly messages?: readonly Message[] | undefined;
}

/** How an answer is made. */
export type AnswerOptions = Omit<GenerateOptions, "tokenizer" | "promptCache" | "addBos">;

/**
 * A conversation with a model: each answer is made from all turns before, of which only the new ones are read.
 *
 * @example
 * ```ts no-run
 * const template = ChatTemplate.instruct({ eos: "</s>" });
 * using conversation = new Conversation(model, { tokenizer, template, system: "Answer in one sentence." });
 * for await (const { text } of conversation.ask("What is an ocean?")) process.stdout.write(text);
 * conversation.messages; // the question and the answer
 * ```
 */
export class Conversation {
  readonly #model: CausalModel;
  readonly #tokenizer: ChatTokenizer;
  readonly #template: ChatTemplate;
  readonly #cache: PromptCache;
  #messages: readonly Message[];
  #system: string | undefined;
  #forgotten = 0;

  constructor(model: CausalModel, { tokenizer, template, system, messages = [] }: ConversationOptions) {
    this.#model = model;
    this.#tokenizer = tokenizer;
    this.#template = template;
    this.#system = system;
    this.#messages = [...messages];
    this.#cache = PromptCache.empty(model);
  }

  /** The turns, without the system's. An answer that was stopped is here as far as it came. */
  get messages(): readonly Message[] {
    return this.#messages;
  }

  /** What the model is told before the first turn. */
  get system(): string | undefined {
    return this.#system;
  }

  set system(text: string | undefined) {
    this.#system = text;
  }

  /** How many turns of the beginning the model was not shown at the last question, because they did not fit its context. */
  get forgotten(): number {
    return this.#forgotten;
  }

  /** Forgets all turns, but not the system's. */
  reset(): void {
    this.#messages = [];
    this.#forgotten = 0;
  }

  /**
   * The model's answer, as it is made. Leaving the loop, or an abort, ends it there.
   *
   * @throws UsageError if the question alone does not fit the model's context.
   */
  async *ask(question: string, options: AnswerOptions = {}): AsyncGenerator<GenerateEvent, void, undefined> {
    const turns = [...this.#messages, { role: "user", content: question }];
    const ids = await this.#fitting(turns, options.maxTokens ?? 128);
    const { eosId } = this.#model.config;
    const stopIds = options.stopIds ?? [...new Set([eosId, this.#tokenizer.eosId ?? eosId])];
    const own = { tokenizer: this.#tokenizer, promptCache: this.#cache, addBos: false };
    this.#messages = turns;
    let answer = "";
    try {
      for await (const event of generate(this.#model, ids, { ...options, ...own, stopIds })) {
        answer += event.text;
        yield event;
      }
    } finally {
      this.#messages = [...turns, { role: "assistant", content: answer.trim() }];
    }
  }

  /** The tokens of the system's turn and as many of the last turns as leave room for an answer. */
  async #fitting(turns: readonly Message[], maxTokens: number): Promise<number[]> {
    const context = this.#model.config.maxContextLength;
    const room = Math.min(maxTokens, Math.floor(context / 4));
    const system = this.#system === undefined ? [] : [{ role: "system", content: this.#system }];
    // A question goes with its answer.
    for (let first = 0; first < turns.length; first += 2) {
      const ids = await encodeConversation(this.#tokenizer, this.#template, [
        ...system,
        ...turns.slice(first),
      ]);
      if (ids.length + room > context) continue;
      this.#forgotten = first;
      return ids;
    }
    throw new UsageError(
      `the question leaves no room for an answer in the model's context of ${context} tokens; shorten it`,
    );
  }

  dispose(): void {
    this.#cache.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
