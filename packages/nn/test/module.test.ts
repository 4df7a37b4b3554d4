import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { valueAndGrad } from "@openelm/autograd";
import {
  DeviceError,
  device,
  FileError,
  FormatError,
  liveTensors,
  ones,
  saveSafetensors,
  scope,
  type Tensor,
  tensor,
  UsageError,
  withDefaults,
  zeros,
} from "@openelm/tensor";
import { collectGarbage, settledTensors } from "@openelm/testing";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Buffer, Dropout, init, Linear, Module, Parameter } from "../src/index.js";

class Block extends Module {
  readonly up = new Linear(4, 6, { bias: true });
  readonly down = new Linear(6, 4);
  forward(x: Tensor): Tensor {
    return this.down.forward(this.up.forward(x).relu());
  }
}

class Net extends Module {
  readonly blocks = [new Block(), new Block()];
  readonly heads = new Map([["a", new Linear(4, 2)]]);
  readonly extra = { gate: new Parameter({ shape: [4], init: init.ones }) };
  readonly mean = new Buffer({ shape: [4] });
  readonly steps = new Buffer({ shape: [1], dtype: "i32" });
  readonly dropout = new Dropout(0.5);
  forward(x: Tensor): Tensor {
    let h = x;
    for (const block of this.blocks) h = block.forward(h);
    return this.heads.get("a")!.forward(h.mul(this.extra.gate.value));
  }
}

/** Layers that were made by someone else. */
class Stack extends Module {
  readonly layers: readonly Linear[];
  constructor(layers: readonly Linear[]) {
    super();
    this.layers = layers;
  }
}

const seeded = <T extends Module>(make: () => T, seed = 1): T => withDefaults({ seed }, make as () => never);
const values = (module: Module): Promise<number[][]> =>
  Promise.all(module.parameters().map(async (p) => Array.from(await p.value.data(), Number)));

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "openelm-nn-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe("parameters", () => {
  test("have paths through fields, arrays, Maps and plain objects, in the order of declaration", () => {
    expect([...new Net().namedParameters()].map(([path]) => path)).toEqual([
      "blocks.0.up.weight",
      "blocks.0.up.bias",
      "blocks.0.down.weight",
      "blocks.1.up.weight",
      "blocks.1.up.bias",
      "blocks.1.down.weight",
      "heads.a.weight",
      "extra.gate",
      "mean",
      "steps",
    ]);
  });

  test("take no memory before their first use", () => {
    collectGarbage();
    const before = liveTensors();
    const net = new Net();
    expect(net.parameterCount()).toBe(2 * (24 + 6 + 24) + 8 + 4);
    expect(net.toString()).toContain("up: Linear  weight f32[6, 4]");
    expect(liveTensors()).toBe(before);
    expect(net.parameters().some((p) => p.isInitialized)).toBe(false);
  });

  test("get the same values in whatever order they are used first", async () => {
    const [forward, backward, whole] = [
      seeded(() => new Net()),
      seeded(() => new Net()),
      seeded(() => new Net()),
    ];
    for (const parameter of forward.parameters()) parameter.value;
    for (const parameter of backward.parameters().reverse()) parameter.value;
    whole.initialize();
    expect(await values(backward)).toEqual(await values(forward));
    expect(await values(whole)).toEqual(await values(forward));
    expect(await values(seeded(() => new Net(), 2))).not.toEqual(await values(forward));
  });

  test("do not depend on what else was made or used before", async () => {
    const plain = await values(seeded(() => new Net()));
    const others = [new Linear(4, 6), new Block()];
    const net = seeded(() => new Net());
    others[0]!.parameters()[0]!.value;
    expect(await values(net)).toEqual(plain);
  });

  test("differ between layers of one model that were made before it", async () => {
    const make = (): Stack => new Stack([new Linear(4, 4), new Linear(4, 4)]);
    const stack = seeded(make);
    stack.layers[1]!.forward(ones([1, 4]));
    const [first, second] = await values(stack);
    expect(first).not.toEqual(second);
    expect(await values(seeded(make).initialize())).toEqual([first, second]);
  });

  test("of a layer alone are those of its seed", async () => {
    const [a] = await values(seeded(() => new Linear(3, 3)));
    const [b] = await values(seeded(() => new Linear(3, 3)));
    const [c] = await values(seeded(() => new Linear(3, 3), 9));
    expect(b).toEqual(a);
    expect(c).not.toEqual(a);
    expect((await values(seeded(() => new Linear(3, 3)).initialize(9)))[0]).toEqual(c);
  });

  test("that two paths lead to are one", () => {
    class Tied extends Module {
      readonly a = new Linear(3, 3);
      readonly b = this.a;
      readonly list = [this.a.weight];
    }
    const tied = new Tied();
    expect([...tied.namedParameters()].map(([path]) => path)).toEqual(["a.weight"]);
    expect([...tied.namedModules()].map(([path]) => path)).toEqual(["", "a"]);
    expect(tied.parameterCount()).toBe(9);
    const { grads } = valueAndGrad((m: Tied) => m.b.forward(m.a.forward(ones([1, 3]))).sum())(tied);
    expect(grads.paths()).toEqual(["a.weight"]);
  });

  test("are found once where fields lead back to a parent", () => {
    class Child extends Module {
      readonly weight = new Parameter({ shape: [2] });
      parent: Module | undefined;
    }
    class Parent extends Module {
      readonly child = new Child();
    }
    const parent = new Parent();
    parent.child.parent = parent;
    expect([...parent.namedParameters()].map(([path]) => path)).toEqual(["child.weight"]);
    expect(parent.toString()).toContain("child: Child");
  });

  test("with the same path are refused", () => {
    class Same extends Module {
      readonly part = { "a.b": new Parameter({ shape: [1] }), a: { b: new Parameter({ shape: [1] }) } };
    }
    expect(() => new Same().parameters()).toThrow(/two parameters have the path "part.a.b"/);
  });

  test("refuse sizes that are none, and values of another shape", () => {
    expect(() => new Linear(2.5, 3)).toThrow(UsageError);
    expect(() => new Parameter({ shape: [-1] })).toThrow(/whole numbers of 0 or more, got \[-1\]/);
    const { weight } = new Linear(2, 3);
    expect(() => {
      weight.value = zeros([2, 3]);
    }).toThrow(/weight.*wants shape \[3, 2\], got \[2, 3\]/s);
    expect(() => new Net().parameter("blocks.2.up")).toThrow(
      /no parameter "blocks.2.up"; there are: blocks.0/,
    );
  });

  test("survive the scope of their first use", async () => {
    const layer = new Linear(2, 2);
    const y = scope(() => layer.forward(ones([1, 2])));
    expect(layer.weight.value.isDisposed).toBe(false);
    expect((await y.data()).length).toBe(2);
  });

  test("replaced by new values free the old ones", () => {
    const layer = new Linear(2, 2);
    const old = layer.weight.value;
    layer.weight.value = zeros([2, 2]);
    expect(old.isDisposed).toBe(true);
  });
});

describe("modules", () => {
  test("switch all parts to training and back", () => {
    const net = new Net();
    expect(net.eval().dropout.training).toBe(false);
    expect(net.train().dropout.training).toBe(true);
  });

  test("freeze by path, whatever flags the pattern has, and buffers never train", () => {
    const net = new Net();
    expect(net.freeze(/^blocks\.0\./g)).toBe(3);
    const { grads } = valueAndGrad((m: Net) => m.forward(ones([1, 4])).sum())(net);
    expect(grads.paths()).toEqual([
      "blocks.1.up.weight",
      "blocks.1.up.bias",
      "blocks.1.down.weight",
      "heads.a.weight",
      "extra.gate",
    ]);
    expect(net.freeze()).toBe(8);
    expect(net.unfreeze(/bias$/)).toBe(2);
    expect(net.mean.trainable).toBe(false);
  });

  test("cast their floats only, made or not", async () => {
    const net = new Net();
    net.blocks[0]!.up.weight.value;
    net.to("f64");
    expect(new Set(net.parameters().map((p) => p.dtype))).toEqual(new Set(["f64", "i32"]));
    expect(net.blocks[0]!.up.weight.value.dtype).toBe("f64");
    expect(net.blocks[1]!.up.weight.value.dtype).toBe("f64");
    expect(net.steps.value.dtype).toBe("i32");
    expect(net.forward(ones([1, 4], { dtype: "f64" })).dtype).toBe("f64");
    net.to({ dtype: "bf16", device: device("cpu") });
    expect(net.extra.gate.dtype).toBe("bf16");
  });

  test("refuse integers and devices that are not there, and stay as they are", () => {
    const net = new Net();
    expect(() => net.to("i32")).toThrow(UsageError);
    expect(() => net.to("tpu")).toThrow(DeviceError);
    expect(net.extra.gate.dtype).toBe("f32");
  });

  test("on meta have shapes alone, and get values where they go", async () => {
    const net = withDefaults({ device: "meta", seed: 1 }, () => new Net());
    expect(net.forward(zeros([3, 4], { device: "meta" })).shape).toEqual([3, 2]);
    net.to("cpu");
    expect(await values(net)).toEqual(await values(seeded(() => new Net())));
  });
});

describe("files", () => {
  test("give back what was saved, without initializing first", async () => {
    const path = join(folder, "net.safetensors");
    const net = seeded(() => new Net());
    await net.save(path, { metadata: { format: "pt" } });
    const other = seeded(() => new Net(), 2);
    const before = await settledTensors();
    await other.load(path);
    expect(liveTensors() - before).toBe(other.parameters().length);
    expect(await values(other)).toEqual(await values(net));
    // Nothing lies in the file any more: it may be written again.
    await other.save(path);
  });

  test("are cast and mapped on demand", async () => {
    const path = join(folder, "mapped.safetensors");
    await seeded(() => new Block()).save(path);
    const block = await new Block().load(path, { dtype: "bf16", mmap: true });
    expect(block.up.weight.dtype).toBe("bf16");
    expect(block.up.weight.value.dtype).toBe("bf16");
  });

  test("may call tensors otherwise", async () => {
    const names = { toFile: (path: string) => `model.${path}` };
    const path = join(folder, "named.safetensors");
    const block = seeded(() => new Block());
    await block.save(path, { names });
    await expect(new Block().load(path)).rejects.toThrow(
      /up\.weight is missing[\s\S]*model\.up\.weight belongs to no/,
    );
    expect(await values(await new Block().load(path, { names }))).toEqual(await values(block));
  });

  test("that do not fit name each tensor and change nothing", async () => {
    const path = join(folder, "wrong.safetensors");
    await saveSafetensors(path, {
      "up.weight": zeros([4, 6]),
      "up.bias": zeros([6], { dtype: "i32" }),
      other: zeros([1]),
    });
    const block = seeded(() => new Block());
    const before = await settledTensors();
    const error = await block.load(path).catch((e: unknown) => e as Error);
    expect(error).toBeInstanceOf(FormatError);
    expect((error as Error).message).toContain(path);
    for (const part of [
      "up.weight has shape [4, 6], the model wants [6, 4]",
      "up.bias has dtype i32, the model wants f32",
      "down.weight is missing",
      "other belongs to no parameter",
    ]) {
      expect((error as Error).message).toContain(part);
    }
    expect(block.up.weight.isInitialized).toBe(false);
    expect(liveTensors()).toBe(before);
  });

  test("may hold more unless strict", async () => {
    const path = join(folder, "more.safetensors");
    const tensors = new Map(seeded(() => new Block()).state());
    await saveSafetensors(path, new Map([...tensors, ["other", zeros([1])]]));
    const block = new Block();
    const before = await settledTensors();
    await block.load(path, { strict: false });
    expect(liveTensors() - before).toBe(3);
  });

  test("that are missing or damaged are typed errors", async () => {
    await expect(new Block().load(join(folder, "none.safetensors"))).rejects.toThrow(FileError);
    const path = join(folder, "damaged.safetensors");
    await writeFile(path, "not tensors at all");
    await expect(new Block().load(path)).rejects.toThrow(FormatError);
  });

  test("given as tensors are copied: two models share nothing", async () => {
    const a = seeded(() => new Block());
    const b = await new Block().load(a.state());
    const expected = await values(a);
    a.up.weight.value.setAt([0], tensor([7, 7, 7, 7]));
    a.to("bf16");
    expect(await values(b)).toEqual(expected);
  });
});
