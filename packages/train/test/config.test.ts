import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ConfigError } from "@openelm/native";
import { describe, expect, test } from "vitest";
import {
  configJsonSchema,
  configSchedule,
  loadTrainConfig,
  parseTrainConfig,
  parseTrainYaml,
  printTrainConfig,
} from "../src/index.js";

const YAML = `version: 1
model: OpenELM-270M
data:
  shards: corpus
optim:
  kind: adamw
  lr: 5.3e-3
schedule:
  kind: cosine
  warmup: 5000
steps: 350000
`;

const problem = (text: string, set: string[] = []): string => {
  try {
    parseTrainYaml(text, { set, name: "train.yaml" });
  } catch (error) {
    expect(error).toBeInstanceOf(ConfigError);
    return (error as Error).message;
  }
  throw new Error("nothing was wrong");
};

describe("a configuration file", () => {
  test("gets its defaults", () => {
    const config = parseTrainYaml(YAML);
    expect(config.optim).toEqual({
      kind: "adamw",
      lr: 5.3e-3,
      betas: [0.9, 0.95],
      eps: 1e-8,
      weightDecay: 0.1,
      clip: 1,
    });
    expect(config.batch).toEqual({ sequences: 16, sequenceLength: 2048, accumulate: 1, documentMask: true });
    expect(config.precision).toBe("f32");
    expect(config.seed).toBe(0);
  });

  test("gives the published learning rates", () => {
    const config = parseTrainYaml(YAML);
    const schedule = configSchedule(config, config.steps!);
    expect([0, 5000, 350_000].map(schedule)).toEqual([1e-6, 5.3e-3, 5.3e-4]);
  });

  test("is read from the disk with what the command line sets", async () => {
    const folder = await mkdtemp(join(tmpdir(), "config-"));
    const path = join(folder, "train.yaml");
    await writeFile(path, YAML);
    const config = await loadTrainConfig(path, {
      set: ["optim.lr=1e-3", "batch.accumulate=4", "model.size=OpenELM-450M"],
    });
    expect(config.optim.lr).toBe(1e-3);
    expect(config.batch.accumulate).toBe(4);
    expect(config.model).toEqual({ size: "OpenELM-450M" });
    await expect(loadTrainConfig(join(folder, "none.yaml"))).rejects.toThrow(
      /there is no configuration file .*none.yaml/,
    );
    await rm(folder, { recursive: true });
  });

  test("prints with comments and reads back the same", () => {
    const config = parseTrainYaml(YAML, {
      set: [
        "sample.prompts=['ocean (noun):', \"it's\"]",
        "model={layers: 2, modelDim: 64, headDim: 16, attention: [0.5, 1]}",
      ],
    });
    const printed = printTrainConfig(config, { schema: "config.schema.json" });
    expect(parseTrainYaml(printed)).toEqual(config);
    expect(printed).toContain("# yaml-language-server: $schema=config.schema.json");
    expect(printed).toContain("lr: 0.0053  # Highest learning rate");
    expect(printed).toContain("sequenceLength: 2048  # Length of a sequence (tokens; default 2048)");
    expect(printed).toContain("# minutes:  # or so many minutes of training (minutes)");
  });
});

describe("what is wrong is named with its place", () => {
  test.each([
    [
      "an unknown key",
      YAML.replace("  lr:", "  weigthDecay: 1\n  lr:"),
      /^train\.yaml:7:3: optim\.weigthDecay: there is no option "weigthDecay"; did you mean weightDecay\?$/,
    ],
    [
      "an unknown key at the top",
      `${YAML}percision: bf16\n`,
      /^train\.yaml:12:1: percision: .*did you mean precision\?$/,
    ],
    [
      "a key that nothing resembles",
      `${YAML}zzzzzzzz: 1\n`,
      /there is no option "zzzzzzzz"; there are version, folder, model/,
    ],
    [
      "an unknown key of an alternative",
      YAML.replace("  warmup: 5000", "  warmpu: 1"),
      /schedule\.warmpu: .*did you mean warmup\?/,
    ],
    [
      "a key of another alternative",
      YAML.replace("  warmup: 5000", "  decay: 1"),
      /schedule\.decay: there is no option "decay"; there are kind, warmup, warmupLr, minLr, updates/,
    ],
    [
      "a wrong type",
      YAML.replace("5.3e-3", "fast"),
      /^train\.yaml:7:7: optim\.lr: must be a number, got "fast"$/,
    ],
    [
      "a number out of range",
      YAML.replace("350000", "0"),
      /^train\.yaml:11:8: steps: must be 1 or more, got 0$/,
    ],
    ["a fraction for a count", YAML.replace("350000", "1.5"), /steps: must be a whole number, got 1\.5/],
    ["a missing key", YAML.replace("  lr: 5.3e-3\n", ""), /^train\.yaml:6:3: optim\.lr: must be given$/],
    [
      "another version",
      YAML.replace("version: 1", "version: 2"),
      /^train\.yaml:1:10: version: must be 1, got 2$/,
    ],
    [
      "an unknown kind",
      YAML.replace("kind: adamw", "kind: adam"),
      /^train\.yaml:6:9: optim\.kind: must be adamw or sgd, got "adam"$/,
    ],
    ["a bad choice", `${YAML}precision: fp8\n`, /precision: must be f32 or bf16, got "fp8"/],
    [
      "data of no form",
      YAML.replace("  shards: corpus", "  shard: corpus"),
      /data\.shard: there is no option "shard"; did you mean shards\?/,
    ],
    ["no end", YAML.replace("steps: 350000\n", ""), /say when to stop: steps, tokens or minutes/],
    [
      "a warmup longer than the run",
      YAML.replace("350000", "100"),
      /^train\.yaml:10:11: schedule\.warmup: must not be longer than the 100 updates, got 5000$/,
    ],
    [
      "a model without a size",
      YAML.replace("model: OpenELM-270M", "model: {layers: 2}"),
      /model: without size, modelDim, headDim must be given/,
    ],
    [
      "a list in place of options",
      YAML.replace("model: OpenELM-270M", "model: [1]"),
      /model: must be a string or an object, got \[1\]/,
    ],
    ["broken YAML", `${YAML}batch: {sequences: 1\n`, /^train\.yaml:13:1: /],
    ["a key twice", `${YAML}steps: 3\n`, /^train\.yaml:12:1: .*unique/i],
    ["an empty file", "", /^train\.yaml:1:1: version: must be given/],
    ["a list", "- 1\n", /^train\.yaml:1:1: must be an object, got \[1\]$/],
  ])("%s", (_what, text, message) => {
    expect(problem(text)).toMatch(message);
  });

  test("several at once, a line each", () => {
    const lines = problem(YAML.replace("5.3e-3", "fast").replace("350000", "-1")).split("\n");
    expect(lines).toHaveLength(2);
  });

  test.each([
    ["optim.lr=fast", /^--set optim\.lr=fast: optim\.lr: must be a number, got "fast"$/],
    ["optim.lrr=1", /^--set optim\.lrr=1: optim\.lrr: there is no option "lrr"; did you mean lr\?$/],
    ["optim.lr", /^--set optim\.lr: write it as key\.key=value/],
    ["=3", /write it as key\.key=value/],
    ["optim.betas=[1", /the value is no YAML/],
  ])("--set %s", (set, message) => {
    expect(problem(YAML, [set])).toMatch(message);
  });

  test("a bomb of aliases is refused", () => {
    const bomb = [
      "a: &a [x,x,x,x,x,x,x,x,x]",
      ..."bcdefghi".split("").map((c, i) => `${c}: &${c} [${Array(9).fill(`*${"abcdefgh"[i]}`).join(",")}]`),
    ].join("\n");
    expect(problem(bomb)).toMatch(/train\.yaml: Excessive alias count/);
  });

  test.each([
    ["lists", "[".repeat(20_000)],
    ["lists in blocks", "- ".repeat(3000)],
    ["mappings", "{a: ".repeat(5000)],
    ["keys", "? ".repeat(3000)],
    ["mappings in blocks", Array.from({ length: 3000 }, (_, i) => `${" ".repeat(i)}a:\n`).join("")],
    ["mappings in a line", "a: ".repeat(5000)],
    ["lists that end", `${"[".repeat(3000)}${"]".repeat(3000)}`],
  ])("%s that are nested without an end are refused, here and on the command line", (_, text) => {
    expect(problem(text)).toMatch(/train\.yaml: lists and mappings are nested too deep at character \d+/);
    expect(problem(YAML, [`optim=${text}`])).toMatch(/^--set optim=.*nested too deep$/s);
  });

  test("a value that holds itself is refused", () => {
    expect(problem("version: &a [*a]")).toMatch(/version: must be .*, got a value that holds itself/);
  });

  test("values without a file", () => {
    expect(() => parseTrainConfig(null)).toThrow(ConfigError);
    expect(() => parseTrainConfig({ version: 1 })).toThrow(/model: must be given/);
  });
});

test("config.schema.json is the schema", async () => {
  await expect(`${JSON.stringify(configJsonSchema(), null, 2)}\n`).toMatchFileSnapshot(
    "../config.schema.json",
  );
});
