import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FormatError } from "@openelm/native";
import { describe, expect, test } from "vitest";
import { ChatTemplate, type Message } from "../../src/index.js";

const user = (content: string): Message => ({ role: "user", content });
const assistant = (content: string): Message => ({ role: "assistant", content });
const tokens = { bos: "<s>", eos: "</s>" };

describe("the template of the instruct models", () => {
  const template = ChatTemplate.instruct(tokens);

  test("puts an empty system message before a conversation without one", () => {
    expect(template.render([user("Why?")])).toBe("<|system|>\n</s>\n<|user|>\nWhy?</s>\n<|assistant|>\n");
  });

  test("ends every turn with the end-of-text token and a line's end", () => {
    const turns = [
      { role: "system", content: "Be brief." },
      user("Why?"),
      assistant("Because."),
      user("So?"),
    ];
    expect(template.render(turns)).toBe(
      "<|system|>\nBe brief.</s>\n<|user|>\nWhy?</s>\n<|assistant|>\nBecause.</s>\n<|user|>\nSo?</s>\n<|assistant|>\n",
    );
    expect(template.render(turns.slice(0, 2), { addGenerationPrompt: false })).toBe(
      "<|system|>\nBe brief.</s>\n<|user|>\nWhy?</s>\n",
    );
  });

  test("leaves what a message holds as it is", () => {
    const content = "{{ eos_token }} {% raw %} 'a' \"b\"\n\n  c";
    expect(template.render([user(content)])).toContain(`<|user|>\n${content}</s>`);
  });
});

describe("the template of a folder", () => {
  const folder = (files: Record<string, string>): string => {
    const path = mkdtempSync(join(tmpdir(), "template-"));
    for (const [name, text] of Object.entries(files)) writeFileSync(join(path, name), text);
    return path;
  };
  const render = async (files: Record<string, string>): Promise<string> =>
    (await ChatTemplate.load(folder(files), tokens)).render([user("a"), assistant("b")]);
  const config = (chat_template: unknown): Record<string, string> => ({
    "tokenizer_config.json": JSON.stringify({ chat_template }),
  });

  test("is that of tokenizer_config.json, as a text or by name, or that of a file of its own", async () => {
    const source = "{{ bos_token }}{% for m in messages %}[{{ m.role }}: {{ m.content | trim }}]{% endfor %}";
    expect(await render(config(source))).toBe("<s>[user: a][assistant: b]");
    const several = [
      { name: "tool_use", template: "no" },
      { name: "default", template: source },
    ];
    expect(await render(config(several))).toBe("<s>[user: a][assistant: b]");
    expect(await render({ ...config("other"), "chat_template.jinja": source })).toBe(
      "<s>[user: a][assistant: b]",
    );
  });

  test("is that of the instruct models where there is none", async () => {
    for (const files of [{}, config(undefined), config(null)])
      expect(await render(files)).toMatch(/^<\|system\|>/);
  });

  test("is refused if it is none, with the file's name", async () => {
    await expect(render(config(3))).rejects.toThrow(FormatError);
    await expect(render(config([{ name: "rag" }]))).rejects.toThrow(/tokenizer_config.json: chat_template/);
    await expect(render({ "tokenizer_config.json": "{" })).rejects.toThrow(/tokenizer_config.json/);
    await expect(render({ "chat_template.jinja": "{% for %}" })).rejects.toThrow(
      /chat_template.jinja: the chat template is no/,
    );
  });

  test("may refuse a conversation", async () => {
    const source = "{{ raise_exception('roles must alternate') }}";
    await expect(render(config(source))).rejects.toThrow(
      /cannot write this conversation: roles must alternate/,
    );
  });
});
