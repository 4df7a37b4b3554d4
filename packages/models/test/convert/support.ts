//! Models in folders of their own, and what their files hold.
import { createHash } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Tensor } from "@openelm/tensor";
import { onTestFinished } from "vitest";
import { OpenELM, type OpenELMOptions, saveOpenELM } from "../../src/index.js";
import { tinyModel } from "../tiny.js";

const GOLDENS = fileURLToPath(new URL("../../../testing/goldens", import.meta.url));

export const golden = (name: string): string => join(GOLDENS, name);

/** A folder that goes with the test. */
export function temporary(): string {
  const folder = mkdtempSync(join(tmpdir(), "openelm-convert-"));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** A model whose rows are whole groups and blocks. */
export const GROUPED: Partial<OpenELMOptions> = {
  vocabSize: 96,
  modelDim: 64,
  headDim: 32,
  headsPerKvHead: 2,
  attention: [1, 2],
  feedForward: [1, 2],
  feedForwardDivisor: 64,
};

/** A model in a folder, as this library saves it. */
export async function savedModel(
  changes: Partial<OpenELMOptions> = {},
  dtype: "f32" | "bf16" = "f32",
): Promise<string> {
  const folder = join(temporary(), "model");
  await saveOpenELM(tinyModel(changes).to(dtype), folder);
  return folder;
}

/** All files of a folder by name. */
export const filesIn = (folder: string): Map<string, Buffer> =>
  new Map(readdirSync(folder).map((name) => [name, readFileSync(join(folder, name))]));

/** The same as texts that are short when they differ. */
export const sumsIn = (folder: string): Record<string, string> =>
  Object.fromEntries(Array.from(filesIn(folder), ([name, bytes]) => [name, sum(bytes)]));

export const sum = (bytes: Buffer | undefined): string =>
  bytes === undefined
    ? "missing"
    : `${bytes.length} ${createHash("sha256").update(bytes).digest("hex").slice(0, 16)}`;

export async function logitsOf(folder: string, ids: Tensor): Promise<Float32Array> {
  const model = (await OpenELM.load(folder)).eval();
  return (await model.forward(ids).to("f32").data()) as Float32Array;
}

/** The largest difference. */
export const difference = (a: Float32Array, b: Float32Array): number =>
  a.length === b.length
    ? a.reduce((most, value, i) => Math.max(most, Math.abs(value - b[i]!)), 0)
    : Number.NaN;
