import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { verifyCheckpoint } from "../src/index.js";
import { type TinyLMOptions, tiny } from "./support/tiny.js";

const CHILD = fileURLToPath(new URL("support/kill-child.mjs", import.meta.url));
const ROOT = fileURLToPath(new URL("../../..", import.meta.url));
/** `OPENELM_KILLS=20 npx vitest run packages/train/test/kill.test.ts` for a thorough look. */
const KILLS = Number(process.env.OPENELM_KILLS ?? 3);
const STEPS = 100 * KILLS;

/** Runs the child; kills it `delay` ms after its first step. Resolves with the signal that ended it. */
function train(folder: string, extras: TinyLMOptions, delay?: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [CHILD, folder, String(STEPS), JSON.stringify(extras)], {
      cwd: ROOT,
      stdio: ["ignore", "pipe", "pipe"],
    });
    let errors = "";
    child.stderr.on("data", (data: Buffer) => {
      errors += data.toString();
    });
    child.stdout.once("data", () => {
      if (delay !== undefined) setTimeout(() => child.kill("SIGKILL"), delay);
    });
    child.stdout.resume();
    child.on("close", (code, signal) => {
      if (signal === "SIGKILL" || code === 0) resolve(signal ?? "");
      else reject(new Error(`the child ended with ${code}: ${errors}`));
    });
  });
}

test.each<[string, TinyLMOptions]>([
  ["call by call, with dropout", { dropout: 0.2 }],
  ["replayed", { dropout: 0.2, replayable: true }],
])(
  "killed at random moments, a run ends with the weights and the log of one that was not: %s",
  {
    timeout: 180_000 + 30_000 * KILLS,
  },
  async (_, extras) => {
    const folder = await mkdtemp(join(tmpdir(), "kill-"));
    const [whole, killed] = [join(folder, "whole"), join(folder, "killed")];
    await tiny({ folder: whole, steps: STEPS, checkpoint: { every: 3, keepLast: 3 } }, extras).trainer.fit();
    let kills = 0;
    for (let i = 0; i < KILLS; i++) {
      // The first is killed right after its first step, when there is no checkpoint yet.
      if ((await train(killed, extras, i === 0 ? 0 : 250 * Math.random())) === "SIGKILL") kills += 1;
      const checkpoints = join(killed, "checkpoints");
      for (const name of existsSync(checkpoints) ? await readdir(checkpoints) : []) {
        if (name.startsWith("step-")) await verifyCheckpoint(join(checkpoints, name));
      }
    }
    expect(kills).toBe(KILLS);
    expect(await train(killed, extras)).toBe("");
    const last = `checkpoints/step-${String(STEPS).padStart(8, "0")}`;
    for (const name of ["metrics.jsonl", `${last}/model.safetensors`, `${last}/optimizer.safetensors`]) {
      expect((await readFile(join(killed, name))).equals(await readFile(join(whole, name))), name).toBe(true);
    }
    await rm(folder, { recursive: true });
  },
);
