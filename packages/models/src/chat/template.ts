import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { Template } from "@huggingface/jinja";
import { FileError, FormatError } from "@openelm/native";
import { renderBounded } from "./bounded-interpreter.js";

/** One turn of a conversation. */
export interface Message {
  /** `"system"`, `"user"`, `"assistant"`, or what else a template knows. */
  readonly role: string;
  readonly content: string;
}

/** Texts of special tokens that templates write. */
export interface TemplateTokens {
  readonly bos?: string | undefined;
  readonly eos?: string | undefined;
}

/** Characters of a template; reading one takes time that grows with the square of it. */
const MAX_SOURCE = 1 << 17;

/**
 * What OpenELM's instruct models were tuned with: each turn is its role as a marker on a line, its text, and the
 * end-of-text token. A conversation without a system message has an empty one. The markers are plain text.
 */
const INSTRUCT = `{% if messages[0]['role'] != 'system' %}
{{ '<|system|>\\n' + eos_token }}
{% endif %}
{% for message in messages %}
{{ '<|' + message['role'] + '|>\\n' + message['content'] + eos_token }}
{% endfor %}
{% if add_generation_prompt %}
{{ '<|assistant|>' }}
{% endif %}
`;

/**
 * Writes a conversation as the one text that a model was tuned with: a Jinja template, as `tokenizer_config.json` has it.
 *
 * @example
 * ```ts
 * const template = ChatTemplate.instruct({ eos: "</s>" });
 * template.render([{ role: "user", content: "Hello" }]); // "<|system|>\n</s>\n<|user|>\nHello</s>\n<|assistant|>\n"
 * ```
 */
export class ChatTemplate {
  readonly source: string;
  readonly #template: Template;
  readonly #tokens: TemplateTokens;

  /** @throws FormatError if the source is no template. */
  constructor(source: string, tokens: TemplateTokens = {}) {
    this.source = source;
    this.#tokens = tokens;
    if (source.length > MAX_SOURCE)
      throw new FormatError(`the chat template has ${source.length} characters, more than ${MAX_SOURCE}`);
    try {
      this.#template = new Template(source);
    } catch (cause) {
      throw new FormatError(`the chat template is no template: ${(cause as Error).message}`, { cause });
    }
  }

  /** That of OpenELM's instruct models. */
  static instruct(tokens: TemplateTokens): ChatTemplate {
    return new ChatTemplate(INSTRUCT, tokens);
  }

  /**
   * That of a model's folder: `chat_template.jinja`, or `chat_template` in `tokenizer_config.json`; that of the instruct
   * models if it has neither.
   *
   * @throws FormatError naming the file if it holds no template, FileError if it cannot be read.
   */
  static async load(folder: string, tokens: TemplateTokens): Promise<ChatTemplate> {
    const own = join(folder, "chat_template.jinja");
    const config = join(folder, "tokenizer_config.json");
    const text = await readIfThere(own);
    const source = text ?? templateOf(config, (await readIfThere(config)) ?? "{}");
    if (source === undefined) return ChatTemplate.instruct(tokens);
    try {
      return new ChatTemplate(source, tokens);
    } catch (cause) {
      const path = text === undefined ? config : own;
      throw new FormatError(`${path}: ${(cause as Error).message}`, { path, cause });
    }
  }

  /**
   * The text of a conversation.
   *
   * @param options - Whether it ends where the model is to answer (`true`).
   * @throws FormatError if the template refuses the messages, or takes more steps or memory than a conversation needs.
   */
  render(
    messages: readonly Message[],
    { addGenerationPrompt = true }: { readonly addGenerationPrompt?: boolean } = {},
  ): string {
    const { bos = "", eos = "" } = this.#tokens;
    try {
      return renderBounded(this.#template, {
        messages: messages.map((message) => ({ ...message })),
        add_generation_prompt: addGenerationPrompt,
        bos_token: bos,
        eos_token: eos,
      });
    } catch (cause) {
      const { message } = cause as Error;
      throw new FormatError(`the chat template cannot write this conversation: ${message}`, { cause });
    }
  }
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw new FileError(`${path}: cannot read: ${(cause as Error).message}`, { path, cause });
  }
}

/** The template of a configuration; of several, the one that is called default. */
function templateOf(path: string, text: string): string | undefined {
  let config: { readonly chat_template?: unknown } | null;
  try {
    config = JSON.parse(text) as typeof config;
  } catch (cause) {
    throw new FormatError(`${path}: ${(cause as Error).message}`, { path, cause });
  }
  const value = config?.chat_template;
  if (value === undefined || value === null || typeof value === "string") return value ?? undefined;
  const named = Array.isArray(value)
    ? (value as readonly { readonly name?: unknown; readonly template?: unknown }[])
    : [];
  const found = named.find((entry) => entry?.name === "default")?.template;
  if (typeof found === "string") return found;
  throw new FormatError(`${path}: chat_template is neither a text nor a list with one called "default"`, {
    path,
  });
}
