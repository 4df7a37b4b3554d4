import { type Gradients, valueAndGrad } from "@openelm/autograd";
import { init, Module, Parameter } from "@openelm/nn";
import { device, full, scope, type Tensor, tensor } from "@openelm/tensor";
import { describe, expect, test } from "vitest";
import { AdamW, clipGlobalNorm } from "../src/index.js";

class Perceptron extends Module {
  readonly first = new Parameter({ shape: [6, 16], init: init.zeros });
  readonly bias = new Parameter({ shape: [16], init: init.zeros });
  readonly second = new Parameter({ shape: [16, 1], init: init.zeros });

  constructor() {
    super();
    const wave = (count: number): Float32Array =>
      Float32Array.from({ length: count }, (_, i) => Math.sin(i * i));
    this.first.value = tensor(wave(96)).reshape([6, 16]);
    this.second.value = tensor(wave(16)).reshape([16, 1]);
  }

  loss(x: Tensor, y: Tensor): Tensor {
    const error = x.matmul(this.first.value).add(this.bias.value).tanh().matmul(this.second.value).sub(y);
    return error.mul(error).sum();
  }
}

/** A step that takes its batch and learning rate as tensors. */
function step() {
  const model = new Perceptron();
  const optimizer = new AdamW(model, { lr: 0.1, weightDecay: 0.01 });
  const lossAndGrad = valueAndGrad((model: Perceptron, x: Tensor, y: Tensor) => model.loss(x, y));
  const run = (x: Tensor, y: Tensor, lr: Tensor): { loss: Tensor; norm: Tensor } => {
    const { value, grads } = lossAndGrad(model, x, y);
    const { norm, scale } = clipGlobalNorm(grads as Gradients, 1);
    optimizer.step(model, grads as Gradients, { lr, scale });
    return { loss: value, norm };
  };
  return { model, optimizer, run };
}

describe("a captured training step", () => {
  test("loss, parameters and moments have the bits of the step itself", () => {
    const [eager, replayed] = [step(), step()];
    using captured = device("cpu").capture(replayed.run);
    for (let k = 0; k < 12; k++) {
      scope(() => {
        const x = tensor(Float32Array.from({ length: 48 }, (_, i) => Math.cos(i + k))).reshape([8, 6]);
        const y = x.sum({ axis: 1, keepDims: true });
        const lr = full([], 0.01 / (k + 1));
        const [want, got] = [eager.run(x, y, lr), captured(x, y, lr)];
        expect(got.loss.itemSync()).toBe(want.loss.itemSync());
        expect(got.norm.itemSync()).toBe(want.norm.itemSync());
      });
    }
    expect(captured.recordings).toBe(1);
    for (const key of ["first", "bias", "second"] as const) {
      expect(replayed.model[key].value.dataSync()).toEqual(eager.model[key].value.dataSync());
    }
    const state = replayed.optimizer.state();
    expect(state.get("step")!.itemSync()).toBe(12);
    for (const [name, value] of eager.optimizer.state()) {
      expect(state.get(name)!.dataSync(), name).toEqual(value.dataSync());
    }
  });

  test("a learning rate that is a number is refused, since it would never change", () => {
    const { model, optimizer, run } = step();
    const lossAndGrad = valueAndGrad((model: Perceptron, x: Tensor, y: Tensor) => model.loss(x, y));
    using captured = device("cpu").capture((x: Tensor, y: Tensor) => {
      const { value, grads } = lossAndGrad(model, x, y);
      optimizer.step(model, grads as Gradients, { lr: 0.1 });
      return value;
    });
    scope(() => {
      const [x, y] = [full([8, 6], 0.5), full([8, 1], 1)];
      captured(x, y);
      expect(() => captured(x, y)).toThrow("pass the tensor as an argument");
      run(x, y, full([], 0.1));
    });
  });
});
