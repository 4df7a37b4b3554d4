//! k-means with tensors alone: no gradients, no layers.
import { Generator, tensor } from "@openelm/tensor";
import { blobs, kMeans } from "./k-means.js";

const generator = new Generator(7);
const truth = tensor([
  [0, 0],
  [6, 1],
  [2, 7],
  [-5, 4],
]);
const points = blobs(truth, 250, 0.6, generator);
const { centers, errors } = await kMeans(points, 4, { generator });
console.log(`mean squared distance ${errors[0]!.toFixed(3)} → ${errors.at(-1)!.toFixed(3)}`);
console.log(`centers\n${centers}`);
