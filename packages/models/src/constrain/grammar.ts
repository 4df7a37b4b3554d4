import type { CompiledGrammar, GrammarCompiler, GrammarMatcher } from "@mlc-ai/web-xgrammar";
import { ConfigError } from "@openelm/native";
import type { Constraint } from "./constraint.js";
import { type Instance, loadXGrammar } from "./xgrammar.js";

/** What grammars need of a tokenizer; the class of `@openelm/data` has it. */
export interface GrammarTokenizer {
  readonly vocabSize: number;
  readonly specialTokens: ReadonlyMap<string, number>;
  /** A token as the vocabulary spells it. */
  idToToken(id: number): string | undefined;
}

/** For which model grammars are. */
export interface GrammarOptions {
  readonly tokenizer: GrammarTokenizer;
  /** The model's number of tokens, where it is more than the tokenizer's. */
  readonly vocabSize?: number | undefined;
  /** Tokens that end the text; they are allowed where the grammar is complete. */
  readonly stopIds: readonly number[];
}

/**
 * Makes constraints of JSON schemas, regular expressions and grammars for one vocabulary.
 *
 * @example
 * ```ts no-run
 * const { vocabSize, eosId } = model.config;
 * const grammars = await Grammars.create({ tokenizer, vocabSize, stopIds: [eosId] });
 * const schema = { type: "object", properties: { name: { type: "string" } }, required: ["name"] };
 * using constraint = await grammars.jsonSchema(schema);
 * const { text } = await generate(model, "The sea as JSON: ", { tokenizer, constraint }).result();
 * JSON.parse(text);
 * ```
 * @see Dong et al., 2024, "XGrammar", arXiv:2411.15100
 */
export class Grammars {
  readonly #options: GrammarOptions;
  #loaded: Promise<Loaded> | undefined;

  private constructor(options: GrammarOptions) {
    this.#options = options;
  }

  static async create(options: GrammarOptions): Promise<Grammars> {
    const grammars = new Grammars(options);
    await grammars.#load();
    return grammars;
  }

  #load(): Promise<Loaded> {
    this.#loaded ??= load(this.#options);
    return this.#loaded;
  }

  /**
   * Text that is JSON of a schema, written with one space after commas and colons and none elsewhere.
   *
   * @throws ConfigError if the schema is none that can be followed.
   */
  jsonSchema(schema: object | boolean): Promise<GrammarConstraint> {
    const text = JSON.stringify(schema);
    // −1: no lines and indentation.
    return this.#start("the JSON schema", (compiler) => compiler.compileJSONSchema(text, false, -1));
  }

  /**
   * Text that a regular expression matches as a whole.
   *
   * @throws ConfigError if it is none, or uses what needs more than a finite automaton (back references, looking around).
   */
  regex(pattern: string): Promise<GrammarConstraint> {
    const tag = { type: "structural_tag", format: { type: "regex", pattern } } as const;
    return this.#start("the regular expression", (compiler) => compiler.compileStructuralTag(tag));
  }

  /**
   * Text of a grammar in extended Backus–Naur form, whose first rule is `root`.
   *
   * @throws ConfigError if it is none.
   */
  ebnf(grammar: string): Promise<GrammarConstraint> {
    return this.#start("the grammar", (compiler) => compiler.compileGrammar(grammar));
  }

  async #start(
    what: string,
    compile: (compiler: GrammarCompiler) => Promise<CompiledGrammar>,
  ): Promise<GrammarConstraint> {
    const { instance, compiler, vocabSize } = await this.#load();
    instance.takeMessage();
    try {
      const compiled = await compile(compiler);
      const matcher = await instance.library.GrammarMatcher.createGrammarMatcher(compiled);
      // The matcher holds what it needs of it.
      compiled.dispose();
      return new GrammarConstraint(matcher, vocabSize);
    } catch (cause) {
      // Constraints that were made before keep the memory that they are in; new ones get another.
      this.#loaded = undefined;
      throw new ConfigError(`${what} cannot be followed: ${reasonOf(instance.takeMessage())}`, { cause });
    }
  }
}

/** The library with a vocabulary. */
interface Loaded {
  readonly instance: Instance;
  readonly compiler: GrammarCompiler;
  readonly vocabSize: number;
}

async function load({ tokenizer, vocabSize = 0, stopIds }: GrammarOptions): Promise<Loaded> {
  const instance = await loadXGrammar();
  const { GrammarCompiler, TokenizerInfo } = instance.library;
  const size = Math.max(vocabSize, tokenizer.vocabSize);
  const tokens = spellings(tokenizer);
  const info = await TokenizerInfo.createTokenizerInfo(tokens, spellingOf(tokens), false, size, [...stopIds]);
  return { instance, compiler: await GrammarCompiler.createGrammarCompiler(info), vocabSize: size };
}

/** A place in a text of a grammar; disposing of it frees memory that the collector does not see. */
export class GrammarConstraint implements Constraint {
  readonly #matcher: GrammarMatcher;
  readonly #vocabSize: number;

  /** @internal */
  constructor(matcher: GrammarMatcher, vocabSize: number) {
    this.#matcher = matcher;
    this.#vocabSize = vocabSize;
  }

  async allowed(): Promise<Uint8Array> {
    const words = await this.#matcher.getNextTokenBitmask();
    const allowed = new Uint8Array(this.#vocabSize);
    for (let id = 0; id < allowed.length; id++) allowed[id] = (words[id >> 5]! >>> (id & 31)) & 1;
    return allowed;
  }

  accept(id: number): void {
    this.#matcher.acceptToken(id);
  }

  dispose(): void {
    this.#matcher.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** All tokens; special ones are no text, and without text no grammar allows them. */
function spellings(tokenizer: GrammarTokenizer): string[] {
  const special = new Set(tokenizer.specialTokens.values());
  const spell = (id: number): string => (special.has(id) ? "" : (tokenizer.idToToken(id) ?? ""));
  return Array.from({ length: tokenizer.vocabSize }, (_, id) => spell(id));
}

/** How the vocabulary spells bytes: GPT-2's letters for them, or SentencePiece's signs. */
function spellingOf(tokens: readonly string[]): "byte_level" | "byte_fallback" | "raw" {
  if (tokens.includes("<0x0A>")) return "byte_fallback";
  return tokens.some((token) => token.startsWith("\u0120")) ? "byte_level" : "raw";
}

/** What the library said before it gave up, without the place in its sources. */
function reasonOf(message: string): string {
  const said = /FATAL\]?[^:]*?\S+:\d+: ([^\n]*)/.exec(message)?.[1]?.trim();
  return said === undefined || said === "" ? "it is not valid" : said;
}
