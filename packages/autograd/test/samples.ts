//! Inputs for the gradient of every op.
import { readdirSync } from "node:fs";
import type { OpName } from "@openelm/tensor";
import { FAMILIES } from "./families.js";
import type { Sample } from "./sample.js";

/** Of each op, calls in every way that its inputs and attributes allow. */
export const SAMPLES: ReadonlyMap<OpName, readonly Sample<OpName>[]> = new Map([
  ...(Object.entries(FAMILIES) as [OpName, Sample<OpName>[]][]),
  ...(await Promise.all(readdirSync(new URL("samples", import.meta.url)).map(ofFile))),
]);

async function ofFile(file: string): Promise<[OpName, Sample<OpName>[]]> {
  const { samples } = (await import(new URL(`samples/${file}`, import.meta.url).href)) as {
    samples: Sample<OpName>[];
  };
  return [file.replace(/\.ts$/, "") as OpName, samples];
}
