import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { openelm, temporary } from "./cli.js";

const MODEL = fileURLToPath(new URL("../../testing/goldens/hf-tiny", import.meta.url));
const TOKENIZER = fileURLToPath(new URL("../../testing/goldens/tiny-sp.model", import.meta.url));

describe("openelm convert", () => {
  test("brings a model into every form and back to the same bytes", async () => {
    const cwd = temporary();
    for (const [form, place] of [
      ["corenet", "model.pt"],
      ["gguf", "model.gguf"],
      ["mlx", "mlx"],
    ] as const) {
      const there = await openelm(["convert", MODEL, place, "--to", form], { cwd });
      expect(there.code, there.stderr).toBe(0);
      expect(there.stdout).toContain(`${place}: 102,944 parameters, 256 tokens`);
      expect(await openelm(["convert", place, `${form}-back`, "--to", "hf"], { cwd })).toMatchObject({
        code: 0,
      });
      const bytes = readFileSync(join(cwd, `${form}-back`, "model.safetensors"));
      expect(bytes.equals(readFileSync(join(MODEL, "model.safetensors")))).toBe(true);
    }
  });

  test("tells a program how far it is and what it made", async () => {
    const { events, code } = await openelm(
      ["convert", MODEL, "codes", "--to", "mlx", "--bits", "4", "--group", "32", "--json"],
      {},
    );
    expect(code).toBe(0);
    expect(events.at(-1)).toMatchObject({ type: "done", from: "hf", to: "mlx", parameters: 102944 });
    expect(events.some(({ type, unit }) => type === "progress" && unit === "bytes")).toBe(true);
  });

  test("says that a file for llama.cpp has no tokenizer, and takes one that is named", async () => {
    const cwd = temporary();
    const without = await openelm(["convert", MODEL, "a.gguf", "--to", "gguf"], { cwd });
    expect(without.stderr).toContain("no tokenizer.model or tokenizer.json was found");
    const tooSmall = await openelm(["convert", MODEL, "b.gguf", "--to", "gguf", "--tokenizer", TOKENIZER], {
      cwd,
    });
    expect(tooSmall).toMatchObject({ code: 1 });
    expect(tooSmall.stderr).toContain("the tokenizer has 1024 tokens, the model 256");
    const grown = ["convert", MODEL, "b.gguf", "--to", "gguf", "--tokenizer", TOKENIZER, "--vocab", "1024"];
    expect(await openelm(grown, { cwd })).toMatchObject({ code: 0, stderr: "" });
  });

  test.each([
    ["a file of something else", "letter.pt", "dear", /letter\.pt: byte 0: the file is not an archive/],
    ["a cut-off GGUF file", "model.gguf", "GGUF\u0003\0\0\0", /model\.gguf: byte 8: .*cut off/],
  ])("of %s ends with one line that names file and byte", async (_, name, content, message) => {
    const cwd = temporary();
    writeFileSync(join(cwd, name), content);
    const { code, stderr } = await openelm(["convert", name, "out", "--to", "hf"], { cwd });
    expect(code).toBe(1);
    expect(stderr.trim().split("\n")).toHaveLength(1);
    expect(stderr).toMatch(message);
    expect(existsSync(join(cwd, "out"))).toBe(false);
  });

  test.each([
    [["model", "--to", "mlx", "--group", "32"], /--group goes with --bits/],
    [["adapter", "--to", "peft", "--bits", "4"], /--bits is for models, not for an adapter/],
    [["adapter", "--to", "mlx", "--vocab", "released"], /--vocab is for models, not for an adapter/],
  ])("refuses an option that would do nothing: %j", async (args, message) => {
    const cwd = temporary();
    mkdirSync(join(cwd, "adapter"));
    writeFileSync(join(cwd, "adapter", "adapter_config.json"), "{}");
    const [source = "", ...options] = args;
    const place = source === "model" ? MODEL : source;
    const { code, stderr } = await openelm(["convert", place, "out", ...options], { cwd });
    expect(code).toBe(1);
    expect(stderr).toMatch(message);
    expect(existsSync(join(cwd, "out"))).toBe(false);
  });
});
