import { describe, expect, test } from "vitest";
import { openelm } from "./cli.js";

const COMMANDS = [
  ["quickstart"],
  ["train"],
  ["generate"],
  ["chat"],
  ["tokenizer", "train"],
  ["data", "prepare"],
  ["convert"],
  ["quantize"],
  ["perplexity"],
  ["describe"],
  ["bench", "throughput"],
  ["tune"],
  ["doctor"],
];

describe("--help", () => {
  test.each(COMMANDS)("of %s %s shows options and examples", async (...words) => {
    const command = words.filter((word) => word !== undefined);
    const { code, stdout } = await openelm([...command, "--help"]);
    expect(code).toBe(0);
    expect(stdout).toContain(`Usage: openelm ${command.join(" ")}`);
    expect(stdout).toContain("--json");
    const [, examples = ""] = stdout.split("Examples:\n");
    expect(examples).toMatch(new RegExp(`^ {2}\\$ openelm ${command.join(" ")}`));
  });

  test("wraps a description by the terminal's width, and keeps lists", async () => {
    const { stdout } = await openelm(["tune", "--help"]);
    const [, description = ""] = stdout.split("\n\n");
    const lines = description.split("\n");
    // No line but the last would have had room for the next one's first word.
    for (const [i, line] of lines.slice(0, -1).entries()) {
      expect(`${line} ${lines[i + 1]!.split(" ")[0]!}`.length).toBeGreaterThan(78);
    }
    expect((await openelm(["convert", "--help"])).stdout).toMatch(/\n {2}corenet {2}a \.pt file/);
  });

  test("of the command lists all commands", async () => {
    const { code, stdout } = await openelm(["--help"]);
    expect(code).toBe(0);
    for (const [command] of COMMANDS) expect(stdout).toMatch(new RegExp(`^ {2}${command}`, "m"));
  });

  test("--version prints that of the package", async () => {
    const { stdout } = await openelm(["--version"]);
    expect(stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
  });
});

describe("a wrong call ends with code 2 and says what was probably meant", () => {
  test.each([
    [["descrbe", "OpenELM-270M"], "Did you mean describe?"],
    [["describe", "OpenELM-270M", "--jsn"], "Did you mean --json?"],
    [["generate", "--prompt", "x"], "--model <folder>"],
    [["generate", "--model", "m", "--max-tokens", "0"], "whole number of 1 or more"],
    [["generate", "--model", "m", "--temperature", "hot"], "must be a number at least 0"],
    [["convert", "model", "out"], "--to <form>"],
    [["convert", "model", "out", "--to", "onnx"], "Allowed choices are hf, corenet, mlx, gguf"],
    [["convert", "model", "out", "--to", "hf", "--vocab", "31999x"], "same, released, padded, trained"],
    [["quantize", "model", "out", "--bits", "1"], "whole number of 2 or more"],
    [["quantize", "model", "out", "--method", "awq"], "Allowed choices are rtn, gptq"],
    [["quantize", "model", "out", "--keep", "("], "must be a regular expression"],
    [["perplexity", "model"], "missing required argument 'text'"],
    [["tune", "--for", "chat"], "it must be of train, prefill"],
    [["tune", "--precision", "f16"], "Allowed choices are f32, bf16"],
    [["tokenizer", "train"], "missing required argument 'files'"],
  ])("%j", async (args, text) => {
    const { code, stderr } = await openelm(args);
    expect(code).toBe(2);
    expect(stderr).toContain(text);
    expect(stderr).not.toMatch(/^\s+at /m);
  });
});
