//! A tokenizer.json that would make a text longer without an end, or that its reader panics at.
import { execFile } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";
import { FormatError, Tokenizer } from "../src/index.js";
import { failure, temporaryFolder } from "./files.js";

const BYTES = { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true };

function file(change: Record<string, unknown>): string {
  const model = { type: "BPE", vocab: { a: 0, b: 1, ab: 2 }, merges: ["a b"] };
  const json = { version: "1.0", added_tokens: [], pre_tokenizer: BYTES, decoder: BYTES, model, ...change };
  const path = join(temporaryFolder(), "tokenizer.json");
  writeFileSync(path, JSON.stringify(json));
  return path;
}

/** Sequences in sequences, deeper than a reader of JSON goes. */
function nested(depth: number): object {
  let stage: object = BYTES;
  for (let i = 0; i < depth; i++) stage = { type: "Sequence", decoders: [stage] };
  return stage;
}

describe("a tokenizer.json", () => {
  it("whose stages double a text a thousand times is refused before any text meets it", async () => {
    const stages = { type: "Sequence", pretokenizers: Array.from({ length: 1000 }, () => BYTES) };
    const error = await failure(Tokenizer.load(file({ pre_tokenizer: stages })));
    expect(error).toEqual(["FORMAT", expect.stringMatching(/1001 stages could make a text/)]);
    await expect(Tokenizer.load(file({ pre_tokenizer: stages }))).rejects.toThrow(FormatError);
  });

  it("that its reader panics at is an error, and nothing is printed", async () => {
    const path = file({ decoder: nested(200) });
    await expect(Tokenizer.load(path)).rejects.toThrow(FormatError);
    // In a process whose standard error can be seen, with the built package.
    const script = `import { Tokenizer } from "@openelm/data";
      await Tokenizer.load(process.argv[1]).catch(({ code }) => console.log(code));`;
    const cwd = fileURLToPath(new URL("..", import.meta.url));
    const args = ["--input-type=module", "-e", script, path];
    const { stdout, stderr } = await promisify(execFile)(process.execPath, args, { cwd });
    expect([stdout.trim(), stderr]).toEqual(["FORMAT", ""]);
  });
});
