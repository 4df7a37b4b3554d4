import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { openelm, temporary } from "./cli.js";
import { simpleText } from "./text.js";

/** A model that takes a step in some milliseconds. */
const SMALL = [
  "model.layers=2",
  "model.modelDim=64",
  "batch.sequences=4",
  "batch.sequenceLength=64",
  "eval.batches=4",
];
const set = [...SMALL, "optim.lr=1e-2"].flatMap((setting) => ["--set", setting]);
const place = temporary();
writeFileSync(join(place, "notes.txt"), simpleText());

const train = (...args: string[]) =>
  openelm(["train", "--text", "notes.txt", ...set, ...args], { cwd: place });
const losses = (folder: string): number[] =>
  readFileSync(join(place, folder, "metrics.jsonl"), "utf8")
    .split("\n")
    .filter((line) => line.includes('"step"') && line.includes('"lr"'))
    .map((line) => (JSON.parse(line) as { loss: number }).loss);

describe("train --text, generate, train again", { timeout: 300_000 }, () => {
  beforeAll(async () => {
    const { code, stderr } = await train("--folder", "whole", "--steps", "40");
    expect(stderr).not.toContain("error");
    expect(code).toBe(0);
  }, 300_000);

  test("the loss falls, and a model is left in Hugging Face form", () => {
    const all = losses("whole");
    expect(all).toHaveLength(40);
    expect(all.at(-1)!).toBeLessThan(0.75 * all[0]!);
    for (const file of ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]) {
      expect(existsSync(join(place, "whole/model", file)), file).toBe(true);
    }
    expect(JSON.parse(readFileSync(join(place, "whole/model/config.json"), "utf8"))).toMatchObject({
      model_type: "openelm",
      model_dim: 64,
    });
  });

  test("--no-capture runs the same updates call by call, and --capture replays them", async () => {
    for (const flag of ["--capture", "--no-capture"]) {
      const { code, events } = await train(
        "--folder",
        flag,
        "--steps",
        "6",
        flag,
        "--json",
        "--set",
        "schedule.updates=40",
      );
      expect(code).toBe(0);
      expect(events.filter(({ type }) => type === "eager")).toEqual([]);
    }
    expect(losses("--capture")).toEqual(losses("--no-capture"));
    expect(readFileSync(join(place, "--capture/config.yaml"), "utf8")).toMatch(/^capture: true /m);
  });

  test("an adapter with dropout is replayed too", async () => {
    const sizes = ["batch.sequences=4", "batch.sequenceLength=64", "eval.batches=2"];
    const args = ["train", "--text", "notes.txt", "--from", "whole/model", "--lora", "rank=2,dropout=0.1"];
    args.push("--steps", "5", "--json", ...sizes.flatMap((size) => ["--set", size]));
    for (const flag of ["--capture", "--no-capture"]) {
      const { code } = await openelm([...args, flag, "--folder", `lora${flag}`], { cwd: place });
      expect(code).toBe(0);
    }
    expect(losses("lora--capture")).toEqual(losses("lora--no-capture"));
  });

  test("generate continues a prompt, the same for the same seed", async () => {
    const args = ["generate", "--model", "whole", "--prompt", "The cat", "-n", "12", "--seed", "5"];
    const [first, second, other] = await Promise.all([
      openelm(args, { cwd: place }),
      openelm(args, { cwd: place }),
      openelm([...args.slice(0, -1), "6"], { cwd: place }),
    ]);
    expect(first.code).toBe(0);
    expect(first.stdout).toMatch(/^The cat.+/s);
    expect(second.stdout).toBe(first.stdout);
    expect(other.stdout).not.toBe(first.stdout);
  });

  test("generate --json gives a token a line and the whole text", async () => {
    const { events } = await openelm(
      ["generate", "--model", "whole/model", "-p", "The", "-n", "5", "-t", "0", "--json"],
      { cwd: place },
    );
    const tokens = events.filter(({ type }) => type === "token");
    const done = events.at(-1)!;
    expect(done.type).toBe("done");
    expect(tokens.length).toBeLessThanOrEqual(6);
    expect(tokens.map(({ text }) => text).join("")).toBe(done.text);
  });

  test("a finished run says so and trains no further", async () => {
    const { code, stdout } = await train("--folder", "whole", "--steps", "40");
    expect(code).toBe(0);
    expect(stdout).toContain("goes on from step 40");
    expect(losses("whole")).toHaveLength(40);
  });

  test("Ctrl-C saves, and the same command goes on to the same losses", async () => {
    // Steps enough for seconds: the signal comes in the middle of them, however late it is.
    const steps = 300;
    await train("--folder", "long", "--steps", String(steps));
    const args = ["train", "--text", "notes.txt", ...set, "--folder", "stopped", "--steps", String(steps)];
    let sent = false;
    const stopped = await openelm([...args, "--json"], {
      cwd: place,
      onOutput(stdout) {
        if (sent || !stdout.includes('"step":8,')) return undefined;
        sent = true;
        return "SIGINT";
      },
    });
    expect(stopped.code).toBe(130);
    const saved = stopped.events.filter(({ type }) => type === "checkpoint").at(-1)!;
    expect(saved.step).toBeGreaterThanOrEqual(8);
    expect(saved.step).toBeLessThan(steps);

    const { code, stdout } = await openelm(args, { cwd: place });
    expect(code).toBe(0);
    expect(stdout).toContain(`goes on from step ${saved.step}`);
    expect(losses("stopped")).toEqual(losses("long"));
  });

  test("--print-config prints a configuration that trains the same", async () => {
    const { stdout } = await train("--steps", "3", "--folder", "printed", "--print-config");
    expect(stdout).toMatch(/^ {2}lr: 0\.01 +# /m);
    expect(existsSync(join(place, "printed/checkpoints"))).toBe(false);
    writeFileSync(join(place, "config.yaml"), stdout);

    const { code, events } = await openelm(["train", "config.yaml", "--json"], { cwd: place });

    expect(code).toBe(0);
    const steps = events.filter(({ type }) => type === "step");
    expect(steps.map(({ step }) => step)).toEqual([1, 2, 3]);
    expect(steps[0]!.loss).toBe(losses("whole")[0]);
  });
});

describe("tokenizer train and data prepare", { timeout: 300_000 }, () => {
  test("make a corpus that train takes", async () => {
    const tokenizer = await openelm(
      ["tokenizer", "train", "notes.txt", "--vocab-size", "400", "-o", "tok", "--json"],
      { cwd: place },
    );
    expect(tokenizer.events.at(-1)).toMatchObject({ type: "done", vocabSize: 400 });

    const args = ["data", "prepare", "notes.txt", "-t", "tok", "-o", "shards", "--validation", "0.1"];
    const prepared = await openelm([...args, "--json"], { cwd: place });
    expect(prepared.code).toBe(0);
    expect(prepared.events.at(-1)).toMatchObject({ type: "done", manifest: { format: "openelm-shards" } });
    const again = await openelm(args, { cwd: place });
    expect(again.stdout).toMatch(/^validation +\d+/m);

    writeFileSync(
      join(place, "shards.yaml"),
      "version: 1\nmodel: { layers: 1, modelDim: 32, headDim: 16 }\ndata: { shards: shards }\noptim: { kind: adamw, lr: 0.01 }\nbatch: { sequences: 2, sequenceLength: 32 }\nsteps: 3\n",
    );
    const trained = await openelm(["train", "shards.yaml", "--json"], { cwd: place });
    expect(trained.code).toBe(0);
    expect(trained.events.filter(({ type }) => type === "step")).toHaveLength(3);
  });
});
