import assert from "node:assert/strict";
import { test } from "node:test";
import { Generator, liveTensors, tensor } from "@openelm/tensor";
import { blobs, kMeans } from "./k-means.js";

test("the centers of well separated blobs are found", async () => {
  const truth = [
    [0, 0],
    [6, 1],
    [2, 7],
    [-5, 4],
  ];
  const generator = new Generator(7);
  const points = blobs(tensor(truth), 250, 0.6, generator);

  const { centers, errors } = await kMeans(points, 4, { generator });

  const found = (await centers.array()) as number[][];
  for (const [x, y] of truth) {
    const distance = Math.min(...found.map(([fx, fy]) => Math.hypot(fx! - x!, fy! - y!)));
    // A mean of 250 points with spread 0.6 is off by 0.04 in each direction.
    assert.ok(distance < 0.2, `no center near [${x}, ${y}] in ${JSON.stringify(found)}`);
  }
  // The expected squared distance of a point in two dimensions is 2 · 0.6².
  assert.ok(Math.abs(errors.at(-1)! - 0.72) < 0.1, `error ${errors.at(-1)}`);
});

test("Lloyd's rounds never make the error larger, and free what they make", async () => {
  const generator = new Generator(1);
  const points = blobs(
    tensor([
      [0, 0],
      [1, 1],
      [2, 0],
    ]),
    100,
    0.5,
    generator,
  );
  const before = liveTensors();

  const { centers, errors } = await kMeans(points, 3, { rounds: 12, generator });

  for (let i = 1; i < errors.length; i++) assert.ok(errors[i]! <= errors[i - 1]! + 1e-6, errors.join(" "));
  centers.dispose();
  // Fewer, if what else was dropped has been collected meanwhile.
  assert.ok(liveTensors() <= before, `${liveTensors()} tensors are alive, ${before} were`);
});
