import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FileError, FormatError, UsageError } from "@openelm/native";
import { liveTensors, loadSafetensors, saveSafetensors, zeros } from "@openelm/tensor";
import { settledTensors } from "@openelm/testing";
import { describe, expect, test } from "vitest";
import { generate, loadPromptCache, PromptCache, savePromptCache } from "../src/index.js";
import { letters, tinyModel } from "./tiny.js";

const folder = mkdtempSync(join(tmpdir(), "prompt-cache-"));
const options = { tokenizer: letters, addBos: false, stopIds: [], maxTokens: 6 };

describe("a prompt cache in a file", () => {
  test("goes on as the one that was written", async () => {
    const path = join(folder, "prompt.safetensors");
    const model = tinyModel();
    using promptCache = PromptCache.empty(model);
    const { ids } = await generate(model, "abcdefgh", { ...options, promptCache }).result();
    await savePromptCache(path, promptCache, model);
    using again = await loadPromptCache(path, tinyModel());
    expect(again.ids).toEqual(promptCache.ids);
    const longer = [0, 1, 2, 3, 4, 5, 6, 7, ...ids, 9];
    const next = await generate(model, longer, { ...options, promptCache: again }).result();
    expect(next.usage.cachedTokens).toBe(13);
    expect(next.ids).toEqual((await generate(model, longer, options).result()).ids);
    using file = await loadSafetensors(path);
    expect(file.get("keys.0")?.shape).toEqual([1, 13, 8]);
    expect(file.metadata).toMatchObject({ format: "openelm-prompt-cache", version: "1" });
  });

  test("is refused by another model, other weights and another dtype", async () => {
    const path = join(folder, "other.safetensors");
    const model = tinyModel();
    using promptCache = PromptCache.empty(model);
    await generate(model, "abc", { ...options, promptCache }).result();
    await savePromptCache(path, promptCache, model);
    const before = await settledTensors();
    for (const other of [tinyModel({}, 2), tinyModel({ layers: 2 }), tinyModel().to("bf16")]) {
      other.initialize();
      const loading = loadPromptCache(path, other);
      await expect(loading).rejects.toThrow(FormatError);
      await expect(loading).rejects.toThrow(/made with another model, or with this one in another dtype/);
      for (const parameter of other.parameters()) parameter.value.dispose();
    }
    expect(liveTensors()).toBe(before);
    await expect(loadPromptCache(path, model, { capacity: 4 })).rejects.toThrow(
      /8 tokens, more than the capacity of 4/,
    );
    expect(liveTensors()).toBe(before);
  });

  test("is refused if it is none, lacks something, or is not there", async () => {
    const model = tinyModel();
    const path = join(folder, "none.safetensors");
    await saveSafetensors(path, { x: zeros([2]) });
    await expect(loadPromptCache(path, model)).rejects.toThrow(/is no prompt cache/);
    await expect(loadPromptCache(join(folder, "absent"), model)).rejects.toThrow(FileError);
    using promptCache = PromptCache.empty(model);
    await expect(savePromptCache(path, promptCache, model)).rejects.toThrow(UsageError);
    await generate(model, "abc", { ...options, promptCache }).result();
    await savePromptCache(path, promptCache, model);
    const file = await loadSafetensors(path, { mmap: false });
    const { metadata } = file;
    file.delete("values.1");
    const cut = join(folder, "cut.safetensors");
    await saveSafetensors(cut, file, { metadata });
    await expect(loadPromptCache(cut, model)).rejects.toThrow(/has no values.1 of 8 positions/);
    await saveSafetensors(cut, file, { metadata: { ...metadata, version: "2" } });
    await expect(loadPromptCache(cut, model)).rejects.toThrow(/of version 2, this is 1/);
  });
});
