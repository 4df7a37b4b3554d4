import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { openelm, temporary } from "./cli.js";
import { simpleText } from "./text.js";

describe("quickstart", { timeout: 300_000 }, () => {
  const place = temporary();
  writeFileSync(join(place, "notes.txt"), simpleText(400));
  const args = ["quickstart", "--text", "notes.txt", "--steps", "16"];
  const state = () =>
    JSON.parse(readFileSync(join(place, "runs/quickstart/quickstart.json"), "utf8")) as Record<
      string,
      unknown
    >;

  test("stopped by Ctrl-C it saves; run again it goes on, finishes and makes a report", async () => {
    let sent = false;
    const stopped = await openelm([...args, "--json"], {
      cwd: place,
      onOutput(stdout) {
        if (sent || !stdout.includes('"step":2,')) return undefined;
        sent = true;
        return "SIGINT";
      },
    });
    expect(stopped.code).toBe(130);
    expect(state()).toMatchObject({ finished: false });

    const { code, stdout, stderr } = await openelm(args, { cwd: place });
    expect(stderr).not.toContain("error");
    expect(code).toBe(0);
    expect(stdout).toContain("Goes on with runs/quickstart");
    expect(stdout).toMatch(/4\. training +16 steps/);
    const { looks, finished } = state() as {
      looks: { share: number; bitsPerByte: number; answers: unknown[] }[];
      finished: boolean;
    };
    expect(finished).toBe(true);
    expect(looks.map(({ share }) => share)).toEqual([0, 0.25, 0.5, 1]);
    expect(looks.at(-1)!.bitsPerByte).toBeLessThan(looks[0]!.bitsPerByte);
    for (const { answers } of looks) expect(answers.length).toBe(looks[0]!.answers.length);
    expect(looks[0]!.answers.length).toBeGreaterThan(0);
    const report = readFileSync(join(place, "runs/quickstart/report.html"), "utf8");
    expect(report.match(/<svg/g)).toHaveLength(5);
    expect(report).not.toMatch(/src=|href=|url\(|@import|undefined|NaN/);
  });

  test("finished, it says what exists", async () => {
    const { code, stdout } = await openelm(args, { cwd: place });
    expect(code).toBe(0);
    expect(stdout).toContain("runs/quickstart is finished");
    expect(stdout).toContain("generate --model runs/quickstart");
  });

  test("other settings are refused where nobody can be asked, and --yes replaces", async () => {
    const other = [...args.slice(0, -1), "2"];
    const refused = await openelm(other, { cwd: place });
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain("--yes replaces it");
    expect(state()).toMatchObject({ finished: true, settings: { steps: 16 } });

    const replaced = await openelm([...other, "--yes"], { cwd: place });
    expect(replaced.code).toBe(0);
    expect(state()).toMatchObject({ finished: true, settings: { steps: 2 } });
  });
});
