import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, expect, test, vi } from "vitest";
import { temporary } from "./cli.js";
import { simpleText } from "./text.js";

const EXAMPLE = fileURLToPath(new URL("../../../examples/quickstart.ts", import.meta.url));
const { argv } = process;

afterEach(() => {
  process.argv = argv;
  vi.restoreAllMocks();
});

test("examples/quickstart.ts trains and answers, in at most 40 lines", { timeout: 300_000 }, async () => {
  expect(readFileSync(EXAMPLE, "utf8").trimEnd().split("\n").length).toBeLessThanOrEqual(40);
  const place = temporary();
  writeFileSync(
    join(place, "text.jsonl"),
    simpleText(400)
      .split("\n\n")
      .map((text) => JSON.stringify({ text }))
      .join("\n"),
  );
  process.argv = [...argv.slice(0, 2), join(place, "text.jsonl"), join(place, "run"), "6"];
  const lines: string[] = [];
  vi.spyOn(console, "log").mockImplementation((...values) => void lines.push(values.join(" ")));
  vi.spyOn(process.stdout, "write").mockImplementation(() => true);

  await import(EXAMPLE);

  expect(lines.some((line) => /^held out: \d\.\d+ nats/.test(line))).toBe(true);
  expect(existsSync(join(place, "run/model/model.safetensors"))).toBe(true);
});
