import { ones, type Tensor } from "@openelm/tensor";
import { beforeEach, expect, test, vi } from "vitest";
import { Linear, Module } from "../src/index.js";

const { ranges } = vi.hoisted(() => ({ ranges: { log: [] as string[], depth: 0 } }));

// What a profiler would see: each range at its depth.
vi.mock("@openelm/tensor", async (original) => ({
  ...(await original<typeof import("@openelm/tensor")>()),
  SHOWS_RANGES: true,
  nvtxRange: <T>(name: string, fn: () => T): T => {
    ranges.log.push(`${"  ".repeat(ranges.depth++)}${name}`);
    try {
      return fn();
    } finally {
      ranges.depth--;
    }
  },
}));

class Base extends Module {
  readonly up = new Linear(4, 4);
  forward(x: Tensor): Tensor {
    return this.up.forward(x);
  }
}

class Block extends Base {
  readonly down = new Linear(4, 4);
  override forward(x: Tensor): Tensor {
    return this.down.forward(super.forward(x));
  }
  forwardTwice(x: Tensor): Tensor {
    return this.forward(this.forward(x));
  }
}

class Model extends Module {
  readonly layers = [new Block(), new Block()];
  forward(x: Tensor): Tensor {
    return this.layers[1]!.forwardTwice(this.layers[0]!.forward(x));
  }
  fails(): never {
    throw new RangeError("mine");
  }
  forwardFails(): never {
    return this.fails();
  }
}

beforeEach(() => {
  ranges.log = [];
});

const WHOLE = [
  "Model",
  ...["  layers.0", "    layers.0.up", "    layers.0.down"],
  ...["  layers.1", "    layers.1.up", "    layers.1.down", "    layers.1.up", "    layers.1.down"],
];

test("modules run in ranges of their paths, each once however often it calls itself", () => {
  const model = new Model();
  const y = model.forward(ones([1, 4]));
  expect(y.shape).toEqual([1, 4]);
  expect(ranges.log).toEqual(WHOLE);
  new Model();
  ranges.log = [];
  model.forward(ones([1, 4]));
  expect(ranges.log, "classes are changed once").toEqual(WHOLE);
});

test("a module whose values came from a file has its path too", async () => {
  const values = new Model().state();
  const model = await new Model().load(values);
  ranges.log = [];
  model.forward(ones([1, 4]));
  expect(ranges.log).toEqual(WHOLE);
});

test("a call that throws ends its range", () => {
  const model = new Model();
  expect(() => model.forwardFails()).toThrow(RangeError);
  model.layers[0]!.up.forward(ones([1, 4]));
  expect(ranges.log).toEqual(["Model", "layers.0.up"]);
});
