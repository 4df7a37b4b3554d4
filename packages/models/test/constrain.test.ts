import { ConfigError } from "@openelm/native";
import { liveTensors } from "@openelm/tensor";
import { settledTensors } from "@openelm/testing";
import { beforeAll, describe, expect, test } from "vitest";
import { type Constraint, Grammars, type GrammarTokenizer, generate, type Tokenizer } from "../src/index.js";
import { tinyModel } from "./tiny.js";

/** Characters, and some tokens of several, spelled as byte-level vocabularies do: Ġ is a space. */
const TOKENS = [
  "<s>",
  "</s>",
  ...'{}[]",:.-0123456789abcdefghijklmnopqrstuvwxyz'.split(""),
  "Ġ",
  '{"',
  '":',
  '":Ġ',
  '",',
  "true",
  "false",
  "name",
  'Ġ"',
];
const tokenizer: Tokenizer & GrammarTokenizer = {
  vocabSize: TOKENS.length,
  specialTokens: new Map([
    ["<s>", 0],
    ["</s>", 1],
  ]),
  idToToken: (id) => TOKENS[id],
  encode: async () => Int32Array.of(5),
  decode: async (ids) => Array.from(ids, spell).join(""),
  stream: () => ({ push: spell, end: () => "" }),
};
const spell = (id: number): string => (id < 2 ? "" : (TOKENS[id] ?? "").replaceAll("Ġ", " "));

// Larger than the tokenizer's vocabulary, as padded ones are.
const model = tinyModel({ vocabSize: TOKENS.length + 5, maxContextLength: 256 });
const options = { tokenizer, addBos: false, stopIds: [1], maxTokens: 200, temperature: 3 };
let grammars: Grammars;
beforeAll(async () => {
  grammars = await Grammars.create({ tokenizer, vocabSize: model.config.vocabSize, stopIds: [1] });
});

const texts = (make: () => Promise<Constraint>): Promise<string[]> =>
  Promise.all(
    [1, 2, 3, 4, 5, 6].map(async (seed) => {
      const result = await generate(model, "x", { ...options, seed, constraint: await make() }).result();
      expect(result.finishReason).toBe("stop");
      return result.text;
    }),
  );

describe("constrained text", () => {
  test("is JSON of its schema", async () => {
    const schema = {
      type: "object",
      properties: {
        name: { enum: ["ant", "bee"] },
        legs: { type: "integer", minimum: 0, maximum: 99 },
        flies: { type: "boolean" },
        tags: { type: "array", items: { enum: ["a", "b"] }, minItems: 1, maxItems: 3 },
      },
      required: ["name", "legs", "flies", "tags"],
      additionalProperties: false,
    };
    for (const text of await texts(() => grammars.jsonSchema(schema))) {
      const value = JSON.parse(text) as { name: string; legs: number; flies: boolean; tags: string[] };
      expect(Object.keys(value)).toEqual(["name", "legs", "flies", "tags"]);
      expect(["ant", "bee"]).toContain(value.name);
      expect(Number.isInteger(value.legs) && value.legs >= 0 && value.legs <= 99, text).toBe(true);
      expect(typeof value.flies).toBe("boolean");
      expect(
        value.tags.length >= 1 && value.tags.length <= 3 && value.tags.every((tag) => "ab".includes(tag)),
      ).toBe(true);
    }
  });

  test("matches its regular expression as a whole", async () => {
    const made = await texts(() => grammars.regex("[a-c]{2,4}-(true|false)(,[0-9]+)?"));
    for (const text of made) expect(text).toMatch(/^[a-c]{2,4}-(true|false)(,[0-9]+)?$/);
    expect(new Set(made).size).toBeGreaterThan(1);
  });

  test("follows a grammar, which may be recursive", async () => {
    const made = await texts(() => grammars.ebnf('root ::= "a" | "[" root "]" | "{" root "}"'));
    for (const text of made) {
      let inner = text;
      while (/^\[.*\]$|^\{.*\}$/.test(inner)) inner = inner.slice(1, -1);
      expect(inner).toBe("a");
    }
  });

  test("is the same with recorded steps and without, and leaves no tensor behind", async () => {
    const run = async (capture: boolean): Promise<unknown> =>
      generate(model, "x", { ...options, capture, constraint: await grammars.regex("[a-z]{20}") }).result();
    const first = await run(true);
    const before = await settledTensors();
    expect(await run(true)).toEqual(first);
    expect(await run(false)).toEqual(first);
    expect(liveTensors()).toBe(before);
  });

  test("cannot be had of what is no grammar, or with guesses", async () => {
    const before = await grammars.regex("ab");
    await expect(grammars.regex("(a")).rejects.toThrow(ConfigError);
    await expect(grammars.regex("(a")).rejects.toThrow(
      /regular expression cannot be followed: .*parenthesis is not closed/,
    );
    await expect(grammars.jsonSchema({ type: "nonsense" })).rejects.toThrow(/JSON schema cannot be followed/);
    await expect(grammars.ebnf("rule without an arrow")).rejects.toThrow(/the grammar cannot be followed/);
    // What was made before a failure still works, and so does what is made after it.
    const { text } = await generate(model, "x", { ...options, constraint: before }).result();
    expect(text).toBe("ab");
    const constraint = await grammars.regex("a");
    const draft = { from: "prompt" } as const;
    expect(() => generate(model, "x", { ...options, constraint, draft })).toThrow(/cannot go with draft/);
  });
});
