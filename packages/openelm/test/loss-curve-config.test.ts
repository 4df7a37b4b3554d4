import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { smallConfig } from "../src/run/small-config.js";

/** The configuration whose losses were made with PyTorch; packages/goldens holds our losses to them. */
const reference = JSON.parse(
  readFileSync(new URL("../../goldens/loss-curve/config.json", import.meta.url), "utf8"),
) as {
  steps: number;
  model: Record<string, unknown>;
  optim: Record<string, unknown>;
  schedule: { warmup: number };
  batch: Record<string, unknown>;
};

test("the loss curve that is held to PyTorch's is that of the quickstart's configuration", () => {
  const { steps } = reference;
  const quickstart = smallConfig({ text: "corpus.txt", bytes: 12_448_843, folder: "runs", steps });
  // The defaults of what the quickstart leaves open stand in the reference in full.
  expect(reference.model).toMatchObject({
    ...pick(quickstart.model as Record<string, unknown>, Object.keys(reference.model)),
    vocabSize: (quickstart.tokenizer as { vocabSize: number }).vocabSize,
  });
  expect(reference.optim).toMatchObject(pick({ ...quickstart.optim }, Object.keys(reference.optim)));
  expect(reference.schedule.warmup).toBe((quickstart.schedule as { warmup: number }).warmup);
  expect(reference.batch).toEqual(quickstart.batch);
});

const pick = (from: Record<string, unknown>, keys: readonly string[]): Record<string, unknown> =>
  Object.fromEntries(keys.flatMap((key) => (from[key] === undefined ? [] : [[key, from[key]]])));
