import { readFileSync } from "node:fs";
import path from "node:path";
import { expect, test } from "vitest";
import { VERSIONS } from "../interop/environment.mjs";
import { ROOT, run } from "../lib/run.mjs";

const page = (name) => readFileSync(path.join(ROOT, "docs/guides", name), "utf8");

test("the guide names the programs that read our files, in the versions that are installed", () => {
  const rows = [...page("convert-a-model.md").matchAll(/^\| `(\w+)` \| ([\w-]+) \| ([\d.]+) \|/gm)];
  expect(rows.length).toBeGreaterThanOrEqual(7);
  for (const [, , program, version] of rows)
    expect(`${program} ${version}`).toBe(`${program} ${VERSIONS.get(program)}`);
  const [, peft, torch, mlx] =
    page("adapt-a-model.md").match(/PEFT ([\d.]+) beside PyTorch ([\d.]+) and mlx-lm ([\d.]+):/) ?? [];
  expect([peft, torch, mlx]).toEqual(["peft", "torch", "mlx-lm"].map((program) => VERSIONS.get(program)));
});

test("every check that the guide names is one of the program, and it refuses others", async () => {
  const script = path.join(ROOT, "scripts/interop.mjs");
  const help = await run(process.execPath, [script, "--help"], { capture: true });
  for (const [, name] of page("convert-a-model.md").matchAll(/^\| `(\w+)` \| [\w-]+ \| [\d.]+ \|/gm))
    expect(help.stdout).toMatch(new RegExp(`^ {2}${name} `, "m"));
  expect((await run(process.execPath, [script, "nothing"], { capture: true })).status).toBe(2);
});
