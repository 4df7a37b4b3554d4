import assert from "node:assert/strict";
import { test } from "node:test";
import { grad } from "@openelm/autograd";
import { type Tensor, tensor } from "@openelm/tensor";
import { trainRecall } from "./recall.js";
import { squaredRelu } from "./squared-relu.js";

test("a window of 6 reaches 4 back, a window of 4 does not", async () => {
  const [inside, outside] = [
    await trainRecall({ window: 6, distance: 4 }),
    await trainRecall({ window: 4, distance: 4 }),
  ];
  assert.ok(inside < 0.2, `loss ${inside} with the answer in the window`);
  assert.ok(outside > Math.log(16) - 0.2, `loss ${outside} without it`);
});

test("the op's own rule gives the gradient of the composed function, also twice", async () => {
  const x = tensor([-2, -0.5, 0, 0.5, 3]);
  const own = grad((x: Tensor) => squaredRelu(x).mul(x).sum());
  const composed = grad((x: Tensor) => x.relu().square().mul(x).sum());
  assert.deepEqual(await own(x).array(), await composed(x).array());

  const twice = grad((x: Tensor) => grad((x: Tensor) => squaredRelu(x).sum())(x).sum());
  assert.deepEqual(await twice(x).array(), [0, 0, 0, 2, 2]);
});
