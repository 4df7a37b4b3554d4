import { normal, type Tensor, tensor, zeros } from "@openelm/tensor";
import { gradCheck } from "@openelm/testing";
import "@openelm/testing/vitest";
import { describe, expect, test } from "vitest";
import { crossEntropyLoss, l1Loss, linearCrossEntropyLoss, mseLoss } from "../src/index.js";

describe("losses", () => {
  test("mean squared and absolute error", async () => {
    expect(await mseLoss(tensor([1, 2]), tensor([1, 4])).item()).toBe(2);
    expect(await l1Loss(tensor([1, 2]), tensor([1, 4])).item()).toBe(1);
    expect(await mseLoss(tensor([1, 3]), 1).item()).toBe(2);
    // [3, 1] against [3] would be nine pairs.
    expect(() => mseLoss(zeros([3, 1]), zeros([3]))).toThrow(
      /must have the same shape, got \[3, 1\] and \[3\]/,
    );
    expect(() => l1Loss(zeros([3, 1]), zeros([3]))).toThrow(/SHAPE_MISMATCH/);
  });

  test("z-loss of zero logits, one of two positions ignored, in both ways of counting", async () => {
    // logsumexp of 32128 zeros is log 32128; its square is 107.692.
    const logits = zeros([2, 32128]);
    const options = { zLoss: 1e-4, ignoreIndex: -100 };
    const valid = crossEntropyLoss(logits, [5, -100], 1, options);
    const corenet = crossEntropyLoss(logits, [5, -100], 1, { ...options, zLossMode: "corenet" });
    expect(await valid.z.item()).toBeCloseTo(0.0107692, 6);
    expect(await corenet.z.item()).toBeCloseTo(0.0215384, 6);
    expect(await valid.ce.item()).toBeCloseTo(Math.log(32128), 5);
    expect(await valid.loss.item()).toBeCloseTo(Math.log(32128) + 0.0107692, 5);
  });

  test("linear cross-entropy is that of the logits, gradients too", async () => {
    const hidden = normal([5, 4], { dtype: "f64" });
    const weight = normal([7, 4], { dtype: "f64" });
    const targets = [1, 6, -100, 0, 3];
    const options = { zLoss: 1e-2 };
    const fused = linearCrossEntropyLoss(hidden, weight, targets, 4, options);
    const plain = crossEntropyLoss(hidden.matmul(weight.transpose()), targets, 4, options);
    expect(fused.loss).toBeAllClose(plain.loss);
    expect(fused.ce).toBeAllClose(plain.ce);
    gradCheck(
      (h, w) => linearCrossEntropyLoss(h as Tensor, w as Tensor, targets, 4, options).loss,
      [hidden, weight],
    );
    gradCheck(
      (h) => crossEntropyLoss(h as Tensor, targets, 4, { ...options, labelSmoothing: 0.1 }).loss,
      [normal([5, 7], { dtype: "f64" })],
    );
  });
});
