import {
  autocast,
  dropout,
  full,
  keep,
  liveTensors,
  matmul,
  ones,
  rmsNorm,
  Scope,
  scope,
  type Tensor,
  TREE,
  type TreeEntry,
  tensor,
  zeros,
} from "@openelm/tensor";
import { collectGarbage, expectNoLeaks, gradCheck } from "@openelm/testing";
import "@openelm/testing/vitest";
import { describe, expect, test } from "vitest";
import {
  accumulate,
  checkpoint,
  defineOp,
  type Gradients,
  grad,
  inference,
  stopGradient,
  valueAndGrad,
  vjp,
} from "../src/index.js";

const f64 = (values: number | readonly number[] | readonly (readonly number[])[]): Tensor =>
  tensor(values as readonly number[], { dtype: "f64" });

class Tied {
  readonly table = f64([1, 2]);
  readonly scale = f64([3, 4]);
  readonly frozen = f64([5, 6]);
  *[TREE](): Iterable<TreeEntry> {
    yield { path: "embedding", tensor: this.table, trainable: true };
    yield { path: "scale", tensor: this.scale, trainable: true };
    yield { path: "head", tensor: this.table, trainable: true };
    yield { path: "frozen", tensor: this.frozen, trainable: false };
  }
}

describe("leaves", () => {
  test("a tensor reachable by two paths is one leaf with the sum of both gradients", () => {
    const w = f64([1, 2]);
    const grads = grad(({ a, b }: { a: Tensor; b: Tensor }) => a.mul(b).sum())({ a: w, b: w });
    expect(grads.a).toBeAllClose([2, 4]);
    expect(grads.b).toBe(grads.a);
  });

  test("a module gives gradients by path: the first one of a tied parameter, none of a frozen one", () => {
    const grads = grad((m: Tied) => m.table.mul(m.scale).add(m.table).sum())(new Tied()) as Gradients;
    expect(grads.paths()).toEqual(["embedding", "scale"]);
    expect(grads.get("embedding")).toBeAllClose([4, 5]);
    expect(grads.get("scale")).toBeAllClose([1, 2]);
  });

  test("arguments may be trees of lists, objects, Maps and modules", () => {
    const tree = {
      list: [f64([1]), f64([2])],
      map: new Map([["k", f64([3])]]),
      module: new Tied(),
      name: "x",
    };
    const grads = grad((t: typeof tree) =>
      t.list[0]!.mul(t.list[1]!).mul(t.map.get("k")!).sum().add(t.module.scale.sum()),
    )(tree);
    expect(grads.list[0]).toBeAllClose([6]);
    expect(grads.list[1]).toBeAllClose([3]);
    expect(grads.map.get("k")).toBeAllClose([2]);
    expect((grads.module as Gradients).get("scale")).toBeAllClose([1, 1]);
    expect((grads.module as Gradients).get("embedding")).toBeNull();
    expect(grads.name).toBeNull();
  });

  test("wrt names an argument, or several", () => {
    const f = (x: Tensor, y: Tensor): Tensor => x.mul(y).sum();
    const [x, y] = [f64([1, 2]), f64([3, 4])];
    expect(grad(f, { wrt: 1 })(x, y)).toBeAllClose([1, 2]);
    const [dx, dy] = grad(f, { wrt: [0, 1] })(x, y);
    expect(dx).toBeAllClose([3, 4]);
    expect(dy).toBeAllClose([1, 2]);
  });

  test("side values come back as aux, unused leaves as null", () => {
    const f = valueAndGrad(
      (x: Tensor, _unused: Tensor) => {
        const y = x.square();
        return { loss: y.sum(), aux: { y, note: "kept" } };
      },
      { wrt: [0, 1] },
    );
    const { value, aux, grads } = f(f64([1, 2]), f64([3]));
    expect(value).toBeAllClose(5);
    expect(aux.y).toBeAllClose([1, 4]);
    expect(aux.note).toBe("kept");
    expect(grads[0]).toBeAllClose([2, 4]);
    expect(grads[1]).toBeNull();
  });

  test("integers are refused by their path", () => {
    const ids = tensor([1, 2], { dtype: "i32" });
    const f = grad((t: { ids: Tensor }) => t.ids.sum());
    expect(() => f({ ids })).toThrow(/argument 0\.ids is i32/);
  });
});

describe("the loss", () => {
  test("must be a float scalar, computed at once", () => {
    const x = f64([1, 2]);
    expect(() => grad((t: Tensor) => t.mul(2))(x)).toThrow(/must be a scalar, got shape \[2\]/);
    expect(() => grad((t: Tensor) => t.gt(1).sum())(x)).toThrow(/must be a float/);
    expect(() => grad((async (t: Tensor) => t.sum()) as never)(x as never)).toThrow(/promise/);
  });
});

describe("gradients", () => {
  test("have memory of their own, so that they may be changed in place", () => {
    const { grads } = valueAndGrad((a: Tensor, b: Tensor) => a.add(b).sum(), { wrt: [0, 1] })(
      f64([1, 2]),
      f64([3, 4]),
    );
    accumulate(
      grads,
      grads.map(({ dtype }) => full([2], 1, { dtype })),
    );
    expect(grads[0]).toBeAllClose([2, 2]);
    expect(grads[1]).toBeAllClose([2, 2]);
  });

  test("accumulate adds a weighted tree, skips null, and names what has no sum", () => {
    const into = { a: f64([1, 2]), b: null, c: f64([1]) };
    accumulate(into, { a: f64([10, 20]), b: null, c: null }, 0.5);
    expect(into.a).toBeAllClose([6, 12]);
    expect(into.c).toBeAllClose([1]);
    expect(() => accumulate({ a: f64([1]) }, { z: f64([1]) })).toThrow(/"z"/);
  });

  test("ties share: half each in maximum, equally in max", () => {
    const [da, db] = grad((a: Tensor, b: Tensor) => a.maximum(b).sum(), { wrt: [0, 1] })(
      f64([1, 2, 3]),
      f64([1, 5, 0]),
    );
    expect(da).toBeAllClose([0.5, 0, 1]);
    expect(db).toBeAllClose([0.5, 1, 0]);
    expect(grad((x: Tensor) => x.max())(f64([4, 1, 4, 2]))).toBeAllClose([0.5, 0, 0.5, 0]);
    expect(
      grad((x: Tensor) => x.min({ axis: 1 }).sum())(
        f64([
          [1, 1],
          [2, 0],
        ]),
      ),
    ).toBeAllClose([
      [0.5, 0.5],
      [0, 1],
    ]);
  });

  test("of pow are exact where a factor is 0", () => {
    const dx = (x: number, y: number): number => grad((a: Tensor) => a.pow(y).sum())(f64(x)).itemSync();
    expect([dx(0, 2), dx(0, 1), dx(0, 0), dx(3, 0), dx(-2, 3)]).toEqual([0, 1, 0, 0, 12]);
    const dy = grad((y: Tensor) => f64([0, 2]).pow(y).sum())(f64([2, 1]));
    expect(dy).toBeAllClose([0, 2 * Math.LN2]);
  });

  test("of a row that embedding pads are 0, also when differentiated again", () => {
    const f = (w: Tensor): Tensor =>
      w
        .embedding(tensor([0, 1, 1], { dtype: "i32" }), { paddingIndex: 1 })
        .square()
        .sum();
    const w = f64([
      [1, 2],
      [3, 4],
    ]);
    expect(grad(f)(w)).toBeAllClose([
      [2, 4],
      [0, 0],
    ]);
    expect(grad((v: Tensor) => grad(f)(v).sum())(w)).toBeAllClose([
      [2, 2],
      [0, 0],
    ]);
  });

  test("reach no integer: a cast to one ends them", () => {
    const f = (x: Tensor): Tensor => x.mul(x.to("i32").to("f64")).sum();
    expect(grad(f)(f64([2.5, 3.5]))).toBeAllClose([2, 3]);
  });
});

describe("gradients of gradients", () => {
  test("of a cube are 6x and 6", () => {
    const cube = (x: Tensor): Tensor => x.mul(x).mul(x);
    const second = grad((x: Tensor) => grad(cube)(x));
    expect(second(f64(2))).toBeAllClose(12);
    expect(grad((x: Tensor) => second(x))(f64(2))).toBeAllClose(6);
  });

  test("go through fused ops by their reference, three times", () => {
    const w = f64([1, -2, 0.5]);
    const f = (x: Tensor): Tensor => rmsNorm(x, w).square().mul(x).sum();
    const first = (x: Tensor): Tensor => grad(f)(x).square().sum();
    const second = (x: Tensor): Tensor => grad(first)(x).square().sum();
    gradCheck(second, [f64([0.3, -0.7, 1.1])], { rtol: 1e-5 });
  });

  test("count an input that stands twice once", () => {
    const f = (x: Tensor): Tensor => x.attention(x, x, { causal: false }).square().sum();
    gradCheck(
      (x: Tensor) => grad(f)(x),
      [
        f64([
          [0.3, -0.2],
          [0.9, 0.4],
        ]).reshape([1, 1, 2, 2]),
      ],
    );
  });

  test("of a pull made elsewhere are refused, not wrong", () => {
    const { pull } = vjp((x: Tensor) => x.softmax(), [f64([1, 2])]);
    const outer = grad((w: Tensor) => pull(w)[0].sum());
    expect(() => outer(f64([1, 1]))).toThrow(/call vjp\(\) inside/);
  });
});

describe("vjp", () => {
  test("pulls once unless told to retain, and not after being disposed", () => {
    const x = f64([1, 2]);
    const once = vjp((t: Tensor) => t.exp(), [x]);
    expect(once.pull(f64([1, 1]))[0]).toBeAllClose([Math.E, Math.E ** 2]);
    expect(() => once.pull(f64([1, 1]))).toThrow(/once/);
    const kept = vjp((t: Tensor) => t.square(), [x], { retain: true });
    expect(kept.pull(f64([1, 0]))[0]).toBeAllClose([2, 0]);
    expect(kept.pull(f64([0, 1]))[0]).toBeAllClose([0, 4]);
    kept.pull[Symbol.dispose]();
    expect(() => kept.pull(f64([1, 1]))).toThrow(/disposed/);
  });

  test("pulls after inputs and outputs are freed", () => {
    const x = f64([1, 2]);
    const { value, pull } = vjp((t: Tensor) => t.square(), [x]);
    value.dispose();
    x.dispose();
    expect(pull(f64([1, 1]))[0]).toBeAllClose([2, 4]);
  });

  test("takes several results, and cotangents that fit them", () => {
    const { pull } = vjp((x: Tensor) => [x.mul(2), x.square()] as const, [f64([1, 2])]);
    expect(() => pull([f64([1, 1])])).toThrow(/2 cotangents/);
    expect(() => vjp((x: Tensor) => x, [f64([1])]).pull(f64([1, 2]))).toThrow(/like its output/);
    expect(pull([f64([1, 1]), f64([1, 1])])[0]).toBeAllClose([4, 6]);
  });

  test("of the identity gives a tensor of its own", () => {
    const cotangent = f64([5]);
    const [dx] = vjp((x: Tensor) => x, [f64([1])]).pull(cotangent);
    dx.dispose();
    expect(cotangent).toBeAllClose([5]);
  });
});

describe("memory", () => {
  test("what the tape held is freed by pull, by dispose, and by an error", () => {
    const x = f64([1, 2]);
    expectNoLeaks(() => vjp((t: Tensor) => t.exp().sin().mul(t), [x]).pull(ones([2], { dtype: "f64" })));
    expectNoLeaks(() => vjp((t: Tensor) => t.exp().sin().mul(t), [x]).pull[Symbol.dispose]());
    expectNoLeaks(() => valueAndGrad((t: Tensor) => t.exp().mul(t).sum())(x));
    expectNoLeaks(() => grad((t: Tensor) => grad((u: Tensor) => u.exp().mul(u).sum())(t).sum())(x));
    expectNoLeaks(() => expect(() => grad((t: Tensor) => t.exp().reshape([3]))(x)).toThrow());
  });

  test("a step keeps nothing but its result", () => {
    using s = new Scope();
    const w = s.run(() => ones([8, 8], { dtype: "f64" }));
    const step = valueAndGrad((t: Tensor) => t.matmul(t).tanh().sum());
    s.run(() => scope(() => void step(w)));
    collectGarbage();
    const before = liveTensors();
    const { grads, value } = s.run(() => step(w));
    expect(liveTensors()).toBe(before + 2);
    grads.dispose();
    value.dispose();
  });

  test("a value that the tape needs cannot be changed until it is done", () => {
    const x = keep(f64([1, 2]));
    const { pull } = vjp((t: Tensor) => t.square(), [x]);
    expect(() => x.setAt([0], 7)).toThrow(expect.objectContaining({ code: "IN_USE_BY_TAPE" }));
    pull(f64([1, 1]));
    x.setAt([0], 7);
    expect(x).toBeAllClose([7, 2]);
  });

  test("writing what a gradient flows through is refused", () => {
    const f = grad((x: Tensor) => {
      const y = zeros([2], { dtype: "f64" });
      y.setAt([0], x.sum());
      return y.sum();
    });
    expect(() => f(f64([1, 2]))).toThrow(/writing in place/);
  });
});

describe("constants", () => {
  test("stopGradient gives one with the same values", () => {
    expect(grad((x: Tensor) => x.mul(stopGradient(x)).sum())(f64([3]))).toBeAllClose([3]);
  });

  test("inference records nothing, not even gradients that are taken in it", () => {
    const f = (x: Tensor): Tensor => x.mul(inference(() => grad((t: Tensor) => t.square().sum())(x))).sum();
    expect(grad(f)(f64([3]))).toBeAllClose([6]);
    expect(() => inference((async () => 1) as never)).toThrow(/promise/);
  });
});

describe("checkpoint", () => {
  test("gives the same gradients, also of gradients", () => {
    const f = (x: Tensor, y: Tensor): Tensor => x.mul(y).tanh().mul(x);
    const inputs = [f64([0.3, -0.8]), f64([1.2, 0.4])] as const;
    const [plain, again] = [f, checkpoint(f)].map((g) =>
      grad((x: Tensor, y: Tensor) => g(x, y).sum(), { wrt: [0, 1] })(...inputs),
    );
    expect(again![0]).toBeAllClose(plain![0]!);
    expect(again![1]).toBeAllClose(plain![1]!);
    gradCheck((x: Tensor) => grad((t: Tensor) => checkpoint(f)(t, t).sum())(x), [inputs[0]]);
  });

  test("repeats dropout, and leaves the generator where it was", () => {
    const f = (x: Tensor): Tensor => dropout(x, { p: 0.5 }).square();
    const x = ones([64], { dtype: "f64" });
    const { value, pull } = vjp(checkpoint(f), [x]);
    const next = dropout(x, { p: 0.5 });
    expect(pull(ones([64], { dtype: "f64" }))[0]).toBeAllClose(value.mul(2));
    expect(next.dataSync()).not.toEqual(value.dataSync());
    const [first, second] = [dropout(x), dropout(x)];
    expect(first.dataSync()).not.toEqual(second.dataSync());
  });

  test("reaches the parameters that it is told of", () => {
    const module = new Tied();
    const block = checkpoint((x: Tensor) => x.mul(module.scale).square(), { parameters: module });
    const grads = grad((m: Tied, x: Tensor) => block(x).add(m.table).sum())(module, f64([1, 2])) as Gradients;
    expect(grads.get("scale")).toBeAllClose([6, 32]);
    expect(grads.get("embedding")).toBeAllClose([1, 1]);
  });

  test("keeps only its inputs", () => {
    using s = new Scope();
    s.run(() => {
      const deep = (x: Tensor): Tensor => x.tanh().tanh().tanh().tanh().tanh();
      const x = f64([1, 2]);
      const held = (f: (x: Tensor) => Tensor): number => {
        collectGarbage();
        const before = liveTensors();
        const { pull, value } = vjp(f, [x]);
        value.dispose();
        const count = liveTensors() - before;
        pull[Symbol.dispose]();
        return count;
      };
      expect(held(deep)).toBe(5);
      expect(held(checkpoint(deep))).toBe(0);
    });
  });
});

describe("autocast", () => {
  test("multiplies in bf16 and gives f32 gradients of f32 leaves", () => {
    const [x, w] = [full([4, 3], 1.001), full([3, 2], 0.5)];
    const f = valueAndGrad((v: Tensor) => autocast("bf16", () => matmul(x, v)), { wrt: 0 });
    const g = valueAndGrad((v: Tensor) =>
      autocast("bf16", () => matmul(x, v))
        .to("f32")
        .sum(),
    );
    expect(() => f(w)).toThrow(/scalar/);
    const { value, grads } = g(w);
    expect(value.dtype).toBe("f32");
    expect(grads.dtype).toBe("f32");
    // 1.001 rounds to 1 in bf16, and the sum of four of them stays exact.
    expect(grads).toBeAllClose(full([3, 2], 4));
  });

  test("around the whole gradient does not lower what ran in f32", () => {
    const w = full([2, 2], 1.001);
    const f = (v: Tensor): Tensor => autocast("off", () => matmul(v, v)).sum();
    expect(autocast("bf16", () => grad(f)(w))).toBeAllClose(grad(f)(w), { rtol: 0, atol: 0 });
  });
});

describe("defineOp", () => {
  const cube = defineOp({
    name: "cube",
    forward: (x: Tensor) => [x.mul(x).mul(x)] as const,
    vjp: ({ inputs: [x], grads: [g] }) => [g!.mul(x.square()).mul(3)],
    reference: (x: Tensor) => [x.pow(3)] as const,
  });

  test("uses its own gradient, and its reference for the next", () => {
    const f = (x: Tensor): Tensor => cube(x)[0].sum();
    expect(grad(f)(f64([2]))).toBeAllClose([12]);
    expect(grad((x: Tensor) => grad(f)(x).sum())(f64([2]))).toBeAllClose([12]);
  });

  test("may return an input", () => {
    const reversed = defineOp({
      name: "reversed",
      forward: (x: Tensor) => [x] as const,
      vjp: ({ grads: [g] }) => [g!.neg()],
    });
    expect(grad((x: Tensor) => reversed(x)[0].mul(x).sum())(f64([3]))).toBeAllClose([0]);
  });

  test("refuses gradients of the wrong shape or number", () => {
    const bad = (grads: (g: Tensor) => Tensor[]) =>
      defineOp({
        name: "bad",
        forward: (x: Tensor) => [x.mul(2)] as const,
        vjp: ({ grads: [g] }) => grads(g!),
      });
    const run = (op: ReturnType<typeof bad>) => () => grad((x: Tensor) => op(x)[0].sum())(f64([1, 2]));
    expect(run(bad((g) => [g.sum()]))).toThrow(/shape \[2\]/);
    expect(run(bad((g) => [g, g]))).toThrow(/1 inputs/);
  });
});
