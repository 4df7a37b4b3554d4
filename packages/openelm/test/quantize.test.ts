import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { openelm, temporary } from "./cli.js";
import { simpleText } from "./text.js";

const cwd = temporary();
writeFileSync(join(cwd, "notes.txt"), simpleText());

/** A model whose rows are whole groups of 64. */
const SET = ["layers=2", "modelDim=64", "attention=2", "feedForwardDivisor=64"].flatMap((s) => [
  "--set",
  `model.${s}`,
]);
const BATCH = ["--set", "batch.sequences=4", "--set", "batch.sequenceLength=64"];

const run = (...args: string[]) => openelm(args, { cwd });

interface Score {
  readonly nats: number;
  readonly perplexity: number;
  readonly tokens: number;
  readonly against: { readonly kl: number; readonly agreement: number; readonly nats: number };
}

const scored = async (...args: string[]): Promise<Score> =>
  (await run("perplexity", ...args, "--json")).events.at(-1) as unknown as Score;

beforeAll(async () => {
  const args = ["--text", "notes.txt", "--folder", "run", "--steps", "60", "--set", "optim.lr=1e-2"];
  const { code, stderr } = await run("train", ...args, ...SET, ...BATCH);
  expect(stderr).not.toContain("error");
  expect(code).toBe(0);
}, 300_000);

describe("openelm quantize", { timeout: 300_000 }, () => {
  test("rounds a run's model, and by a text stays nearer to it", async () => {
    const plain = await run("quantize", "run", "q3", "--bits", "3");
    expect(plain.code, plain.stderr).toBe(0);
    expect(plain.stdout).toMatch(
      /^q3: 9 layers rounded, .* of weights before and .* now, \d\.\d\d bits a weight$/m,
    );
    const how = ["--bits", "3", "--calibration", "notes.txt", "--sequences", "8", "--length", "64"];
    const gptq = await run("quantize", "run", "g3", ...how, "--json");
    expect(gptq.code, gptq.stderr).toBe(0);
    expect(gptq.events.at(-1)).toMatchObject({ type: "done", layers: 9, kept: [] });
    expect(new Set(gptq.events.map(({ phase }) => phase))).toEqual(
      new Set(["calibrate", "write", undefined]),
    );
    const [q, g] = await Promise.all(["q3", "g3"].map((m) => scored(m, "notes.txt", "--against", "run")));
    expect(g!.against.kl).toBeLessThan(0.7 * q!.against.kl);
    expect(g!.against.nats).toBe(q!.against.nats);
    expect((await run("generate", "-m", "g3", "-p", "The cat", "-n", "4")).code).toBe(0);
  });

  test("keeps layers, and says which", async () => {
    const made = await run(
      "quantize",
      "run",
      "kept",
      "--keep",
      "token_embeddings",
      "--keep",
      "layers\\.0\\.ffn",
    );
    expect(made.code).toBe(0);
    expect(made.stdout).toContain("kept: 6 layers rounded");
    expect(made.stderr).toContain(
      "not rounded: transformer.token_embeddings, transformer.layers.0.ffn.proj_1,",
    );
    const again = await run("quantize", "run", "kept");
    expect(again).toMatchObject({ code: 1 });
    expect(again.stderr).toContain("kept exists and is not empty");
  });

  test.each([
    [["--method", "gptq"], "name one with --calibration FILE"],
    [["--method", "rtn", "--calibration", "notes.txt"], "rtn looks at no text"],
    [["--calibration", "nothing.txt"], "nothing.txt cannot be read"],
    [["--group", "48"], "groups of 32, 64 or 128"],
  ])("%j ends with one line", async (args, message) => {
    const { code, stderr } = await run("quantize", "run", "bad", ...args);
    expect(code).toBe(1);
    expect(stderr.trim().split("\n")).toHaveLength(1);
    expect(stderr).toContain(message);
    expect(existsSync(join(cwd, "bad"))).toBe(false);
  });
});

describe("openelm perplexity", { timeout: 300_000 }, () => {
  test("tells a person perplexity, bits per byte and divergence", async () => {
    const { stdout, stderr, code } = await run(
      "perplexity",
      "run",
      "notes.txt",
      "--against",
      "run",
      "--max-tokens",
      "200",
    );
    expect(code, stderr).toBe(0);
    expect(stdout).toMatch(
      /^ +perplexity {2}nats\/token {2}bits\/byte\nrun +\d+\.\d+ +\d+\.\d{4} +\d+\.\d{4}$/m,
    );
    expect(stdout).toContain(
      "KL divergence 0.00 nats a token, the same likeliest token at 100.0% of the positions",
    );
    expect(stderr).toContain("199 tokens, in windows of at most 512 that begin every 256");
  });

  test("scores lines by themselves, and what fits into the limit", async () => {
    const [whole, lines] = await Promise.all([
      scored("run", "notes.txt"),
      scored("run", "notes.txt", "--lines"),
    ]);
    const count = readFileSync(join(cwd, "notes.txt"), "utf8").split("\n").filter(Boolean).length;
    expect(count).toBeGreaterThan(1);
    expect(lines.tokens).not.toBe(whole.tokens);
    expect(lines.perplexity).toBeCloseTo(Math.exp(lines.nats), 6);
    const few = await scored("run", "notes.txt", "--window", "32", "--stride", "8", "--max-tokens", "50");
    expect(few.tokens).toBe(49);
  });
});

describe("an adapter", { timeout: 300_000 }, () => {
  const tune = ["--from", "run", "--lora", "rank=4,targets=attn", "--folder", "tuned", ...BATCH];

  test("is trained beside a model, goes on where it was, and runs with it, merged or not", async () => {
    writeFileSync(join(cwd, "new.txt"), "A dog is a dog and a dog is loud. ".repeat(300));
    const half = await run("train", "--text", "new.txt", ...tune, "--steps", "20");
    expect(half.code, half.stderr).toBe(0);
    const whole = await run("train", "--text", "new.txt", ...tune, "--steps", "30", "--json");
    expect(whole.code, whole.stderr).toBe(0);
    expect(whole.events.at(-1)).toMatchObject({ type: "adapter", folder: join("tuned", "adapter") });
    const json = JSON.parse(readFileSync(join(cwd, "tuned/adapter/adapter_config.json"), "utf8")) as object;
    expect(json).toMatchObject({
      r: 4,
      target_modules: ["out_proj", "qkv_proj"],
      base_model_name_or_path: join("run", "model"),
    });
    expect(existsSync(join(cwd, "tuned/model"))).toBe(false);
    const merge = await run("convert", "run", "merged", "--to", "hf", "--adapter", "tuned/adapter");
    expect(merge.code, merge.stderr).toBe(0);
    const [before, after, merged] = await Promise.all([
      scored("run", "new.txt"),
      scored("run", "new.txt", "--adapter", "tuned/adapter"),
      scored("merged", "new.txt"),
    ]);
    expect(after.nats).toBeLessThan(before.nats - 0.3);
    expect(merged.nats).toBeCloseTo(after.nats, 4);
  });

  test("is trained beside codes, which stay as they are", async () => {
    expect((await run("quantize", "run", "q4")).code).toBe(0);
    const args = [
      "--text",
      "notes.txt",
      "--from",
      "q4",
      "--lora",
      "--folder",
      "qtuned",
      "--steps",
      "3",
      ...BATCH,
    ];
    const { code, stderr, stdout } = await run("train", ...args);
    expect(code, stderr).toBe(0);
    expect(stdout).toContain("qtuned/adapter: the adapter, in PEFT's form");
    const text = await run("generate", "-m", "q4", "--adapter", "qtuned/adapter", "-p", "The cat", "-n", "4");
    expect(text.code, text.stderr).toBe(0);
    const mlx = await run("convert", "qtuned/adapter", "mlx", "--to", "mlx", "--config", "q4");
    expect(mlx.stdout).toContain("mlx: an adapter of 8 layers");
    expect((await run("convert", "mlx", "peft", "--to", "peft")).code).toBe(0);
    expect(readFileSync(join(cwd, "peft/adapter_model.safetensors"))).toEqual(
      readFileSync(join(cwd, "qtuned/adapter/adapter_model.safetensors")),
    );
  });

  test.each([
    [["train", "--text", "notes.txt", "--lora"], 1, "name it with --from FOLDER"],
    [["train", "--text", "notes.txt", "--from", "run", "--lora", "rank"], 2, "settings such as rank=8"],
    [["train", "--text", "notes.txt", "--from", "run", "--lora", "rnk=8"], 1, "did you mean rank?"],
    [
      ["train", "--text", "notes.txt", "--from", "run", "--lora", "targets=("],
      1,
      "must be a regular expression",
    ],
    [
      ["train", "--text", "notes.txt", "--from", "run", "--lora", "targets=nothing"],
      1,
      "targets match no layer",
    ],
    [["convert", "run", "out", "--to", "peft"], 1, "is no adapter's folder"],
    [["generate", "-m", "run", "--adapter", "nowhere"], 1, "adapter_config.json cannot be read"],
  ])("%j says what is wrong", async (args, code, message) => {
    const result = await run(...args);
    expect(result.stderr).toContain(message);
    expect(result.code).toBe(code);
  });
});
