import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, test } from "vitest";
import { openelm, temporary } from "./cli.js";

const CONFIG = `version: 1
model: { layers: 1, modelDim: 32, headDim: 16 }
data: { text: corpus.txt }
tokenizer: { vocabSize: 300 }
optim: { kind: adamw, lr: 0.001 }
steps: 2
`;

/** A hub that nobody reaches, and a cache that has nothing. */
const NO_HUB = {
  HF_ENDPOINT: "http://127.0.0.1:9",
  HF_HUB_CACHE: join(temporary(), "none"),
  HF_HUB_OFFLINE: "",
};

/** A folder with some files in it. */
function folder(files: Record<string, string>): string {
  const place = temporary();
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(place, name)), { recursive: true });
    writeFileSync(join(place, name), text);
  }
  return place;
}

describe("a user's mistake is one message without a stack trace, and code 1", () => {
  test.each<[string, string[], Record<string, string>, RegExp]>([
    [
      "a size that is not there",
      ["describe", "OpenELM-271M"],
      {},
      /no size "OpenELM-271M"; there are OpenELM-270M/,
    ],
    ["a folder without a model", ["describe", "./nothing"], {}, /nothing does not exist/],
    ["a config.json that is no JSON", ["describe", "."], { "config.json": "{" }, /config\.json is not JSON/],
    ["generating from nothing", ["generate", "-m", "nothing", "-p", "x"], {}, /nothing does not exist/],
    [
      "a run whose newest checkpoint has no name",
      ["describe", "run"],
      { "run/checkpoints/latest.json": '{"folder":"../../elsewhere"}' },
      /latest\.json names no checkpoint/,
    ],
    [
      "a run that was cut off",
      ["describe", "run"],
      { "run/checkpoints/latest.json": "{" },
      /names no checkpoint/,
    ],
    [
      "a model of a hub that cannot be reached",
      ["generate", "-m", "nobody/nothing", "-p", "x"],
      {},
      /nobody\/nothing is not in the cache, and http:\/\/127\.0\.0\.1:9 cannot be reached/,
    ],
    [
      "the same for a conversion",
      ["convert", "nobody/nothing", "m.gguf", "--to", "gguf"],
      {},
      /nobody\/nothing is not in the cache/,
    ],
    ["a text that is missing", ["train", "--text", "nothing.txt"], {}, /nothing\.txt cannot be read/],
    [
      "a text that is too short",
      ["train", "--text", "a.txt"],
      { "a.txt": "short" },
      /a\.txt holds 5 characters/,
    ],
    ["neither text nor configuration", ["train"], {}, /a configuration, or --text FILE/],
    ["a configuration that is missing", ["train", "nothing.yaml"], {}, /nothing\.yaml/],
    [
      "YAML that does not parse",
      ["train", "c.yaml"],
      { "c.yaml": "version: 1\nmodel: {" },
      /c\.yaml:\d+:\d+: /,
    ],
    [
      "an unknown key",
      ["train", "c.yaml"],
      { "c.yaml": CONFIG.replace("steps", "stepps") },
      /c\.yaml:6:1: .*did you mean steps\?/,
    ],
    [
      "a value that cannot be",
      ["train", "c.yaml", "--set", "optim.lr=fast"],
      { "c.yaml": CONFIG },
      /--set optim\.lr=fast: .*number/,
    ],
    ["a corpus that is missing", ["train", "c.yaml"], { "c.yaml": CONFIG }, /corpus\.txt/],
    [
      "a tokenizer that is missing",
      ["data", "prepare", "a.txt", "-t", "no.json", "-o", "out"],
      { "a.txt": "x" },
      /no\.json/,
    ],
    [
      "a tokenizer that is broken",
      ["data", "prepare", "a.txt", "-t", "t.json", "-o", "out"],
      { "a.txt": "x", "t.json": "{}" },
      /t\.json/,
    ],
    ["files that match nothing", ["tokenizer", "train", "*.parquet"], {}, /\*\.parquet: no file to read/],
    [
      "a quickstart where other files are",
      ["quickstart", "--folder", "."],
      { "a.txt": "x" },
      /holds other files/,
    ],
  ])("%s", async (_, args, files, message) => {
    const { code, stderr, stdout } = await openelm(args, { cwd: folder(files), env: NO_HUB });
    expect(stderr).toMatch(message);
    expect(stderr).toMatch(/^error /);
    expect(stderr).not.toMatch(/^\s+at /m);
    expect(stderr).not.toContain("unexpected");
    expect(stdout).toBe("");
    expect(code).toBe(1);
  });

  test("--debug shows where it comes from", async () => {
    const { code, stderr } = await openelm(["describe", "nothing", "--debug"]);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^ConfigError: .*\n +at /);
  });

  test("--json tells it to a program as well", async () => {
    const { code, events } = await openelm(["describe", "nothing", "--json"]);
    expect(code).toBe(1);
    expect(events).toEqual([
      { type: "error", code: "CONFIG", message: expect.stringContaining('no size "nothing"') },
    ]);
  });

  test("a model's folder without a tokenizer is named", async () => {
    const place = folder({});
    mkdirSync(join(place, "m"));
    writeFileSync(join(place, "m/config.json"), "{}");
    const { code, stderr } = await openelm(["generate", "-m", "m", "-p", "x"], { cwd: place });
    expect(code).toBe(1);
    expect(stderr).toContain("m has no tokenizer.json or tokenizer.model");
  });
});
