import { settledTensors } from "@openelm/testing";
import { beforeEach, describe, expect, test, vi } from "vitest";
import {
  add,
  attention,
  autocast,
  bernoulli,
  CaptureError,
  cacheWrite,
  defaultGenerator,
  device,
  dropout,
  Generator,
  intercept,
  isOpenELMError,
  keep,
  liveTensors,
  multinomial,
  nonzeroSync,
  normal,
  onEveryRun,
  permutation,
  randint,
  Scope,
  scope,
  seed,
  stack,
  type Tensor,
  tensor,
  truncatedNormal,
  uniform,
  zeros,
} from "../src/index.js";

const cpu = device("cpu");
const ramp = (count: number, scale = 1): Tensor =>
  tensor(Float32Array.from({ length: count }, (_, i) => Math.sin(i + 1) * scale));

/** What `body` throws. */
function thrown(body: () => unknown): Error {
  try {
    body();
  } catch (error) {
    return error as Error;
  }
  throw new Error("nothing was thrown");
}

describe("capture", () => {
  let s: Scope;
  beforeEach(() => {
    s = new Scope();
    return () => s.dispose();
  });

  test("replays give the bits of the calls themselves, with JavaScript run twice", () => {
    s.run(() => {
      const weight = ramp(64 * 64).reshape([64, 64]);
      const body = (x: Tensor, bias: Tensor): { y: Tensor; parts: [Tensor, Tensor] } => {
        const y = x.matmul(weight).add(bias).mul(0.5).tanh();
        return { y, parts: [y.sum(), y.transpose().at("::2")] };
      };
      const listened = vi.fn(body);
      using captured = cpu.capture(listened);
      for (let i = 0; i < 5; i++) {
        const [x, bias] = [ramp(8 * 64, i + 1).reshape([8, 64]), ramp(64, 1 / (i + 1))];
        const [got, want] = [captured(x, bias), body(x, bias)];
        for (const [g, w] of [
          [got.y, want.y],
          [got.parts[0], want.parts[0]],
          [got.parts[1], want.parts[1]],
        ] as const) {
          expect(g.shape).toEqual(w.shape);
          expect(g.dataSync()).toEqual(w.dataSync());
        }
      }
      expect(captured.recordings).toBe(1);
      expect(listened).toHaveBeenCalledTimes(2);
    });
  });

  test("results of one replay outlive the next, and strided arguments are taken as they are", () => {
    s.run(() => {
      using captured = cpu.capture((x: Tensor) => x.mul(2));
      const x = ramp(6).reshape([2, 3]);
      const results = [x, x.mul(3), ramp(6).reshape([3, 2]).transpose()].map((t) => [captured(t), t.mul(2)]);
      for (const [got, want] of results) expect(got!.dataSync()).toEqual(want!.dataSync());
      expect(captured.recordings).toBe(1);
    });
  });

  test("long work goes through the queue, in order with other calls", () => {
    s.run(() => {
      const weight = ramp(256 * 256, 0.1).reshape([256, 256]);
      const body = (x: Tensor): Tensor => x.matmul(weight).matmul(weight);
      using captured = cpu.capture(body);
      let [x, y] = [ramp(256 * 256).reshape([256, 256]), ramp(256 * 256).reshape([256, 256])];
      for (let i = 0; i < 6; i++) [x, y] = [captured(x).add(1), body(y).add(1)];
      expect(x.dataSync()).toEqual(y.dataSync());
    });
  });

  test("what is captured is changed in place and seen as it is", () => {
    s.run(() => {
      const [state, twin] = [zeros([4]), zeros([4])];
      const step = (state: Tensor) => (x: Tensor) => {
        state.setAt([":"], state.mul(0.5).add(x));
        return state.mul(1);
      };
      using captured = cpu.capture(step(state));
      for (let i = 0; i < 4; i++) {
        expect(captured(ramp(4, i + 1)).dataSync()).toEqual(step(twin)(ramp(4, i + 1)).dataSync());
      }
      state.setAt([":"], 0);
      twin.setAt([":"], 0);
      expect(captured(ramp(4)).dataSync()).toEqual(step(twin)(ramp(4)).dataSync());
      expect(state.dataSync()).toEqual(twin.dataSync());
    });
  });

  test("a decode step with a cache and its length on the device", () => {
    const shape = [1, 2, 16, 8] as const;
    const decoder = () => {
      const [keys, values] = [keep(zeros(shape)), keep(zeros(shape))];
      const one = keep(tensor([1], { dtype: "i32" }));
      return (x: Tensor, position: Tensor): Tensor => {
        const [q, k, v] = [x.mul(0.3), x.mul(0.7), x.add(1)];
        cacheWrite(keys, k, position);
        cacheWrite(values, v, position);
        return attention(q, keys, values, { kvLength: position.add(one) });
      };
    };
    s.run(() => {
      const eager = decoder();
      using captured = cpu.capture(decoder());
      for (let token = 0; token < 12; token++) {
        const x = ramp(16, token + 1).reshape([1, 2, 1, 8]);
        const position = tensor([token], { dtype: "i32" });
        expect(captured(x, position).dataSync()).toEqual(eager(x, position).dataSync());
      }
      expect(captured.recordings).toBe(1);
    });
  });

  test("other shapes, dtypes, numbers, objects and contexts are recorded anew", () => {
    s.run(() => {
      const body = (x: Tensor, by: number): Tensor => x.mul(by).matmul(x);
      using captured = cpu.capture(body);
      const square = (n: number): Tensor => ramp(n * n).reshape([n, n]);
      const calls: [Tensor, number][] = [
        [square(2), 2],
        [square(3), 2],
        [square(2), 3],
        [square(2).to("f64"), 2],
      ];
      for (let round = 0; round < 3; round++) {
        for (const [x, by] of calls) {
          expect(captured(x, by).dataSync()).toEqual(body(x, by).dataSync());
        }
        const lower = autocast("bf16", () => captured(square(2), 2));
        expect(lower.dtype).toBe(autocast("bf16", () => body(square(2), 2)).dtype);
      }
      expect(captured.recordings).toBe(5);
    });
  });

  test("of many signatures the least used goes, with one warning", () => {
    const warn = vi.spyOn(process, "emitWarning").mockImplementation(() => undefined);
    s.run(() => {
      using captured = cpu.capture((x: Tensor) => x.add(1));
      for (let n = 1; n <= 12; n++) for (let i = 0; i < 2; i++) captured(ramp(n));
      expect(captured.recordings).toBe(8);
    });
    expect(warn).toHaveBeenCalledOnce();
    warn.mockRestore();
  });

  test("a captured tensor that was freed is looked up again", () => {
    s.run(() => {
      const model = { weight: ramp(3) };
      using captured = cpu.capture((x: Tensor) => x.mul(model.weight));
      captured(ramp(3));
      captured(ramp(3));
      model.weight.dispose();
      model.weight = ramp(3, 5);
      expect(captured(ramp(3)).dataSync()).toEqual(ramp(3).mul(model.weight).dataSync());
      model.weight.dispose();
      expect(
        isOpenELMError(
          thrown(() => captured(ramp(3))),
          "DISPOSED",
        ),
      ).toBe(true);
    });
  });

  test("after one was freed, what its successor makes at first use is made outside of the recording", () => {
    s.run(() => {
      const layer: { weight: Tensor; sum?: Tensor } = { weight: ramp(3) };
      const body = (x: Tensor): Tensor => {
        layer.sum ??= keep(zeros([3]));
        layer.sum.setAt([":"], layer.sum.add(x));
        return layer.sum.mul(layer.weight);
      };
      const listened = vi.fn(body);
      using captured = cpu.capture(listened);
      for (let i = 0; i < 3; i++) captured(ramp(3));
      layer.weight.dispose();
      layer.sum!.dispose();
      Object.assign(layer, { weight: ramp(3, 5), sum: undefined });
      for (let i = 1; i < 5; i++) {
        const want = ramp(3).mul(i).mul(layer.weight).dataSync() as Float32Array;
        const got = captured(ramp(3)).dataSync() as Float32Array;
        got.forEach((v, j) => {
          expect(v).toBeCloseTo(want[j]!, 5);
        });
      }
      expect(listened).toHaveBeenCalledTimes(4);
      layer.sum!.dispose();
    });
  });

  test("one that is warm records at its first call", () => {
    s.run(() => {
      const body = vi.fn((x: Tensor) => x.mul(2));
      using captured = cpu.capture(body, { warm: true });
      for (let i = 0; i < 3; i++) {
        expect(captured(ramp(3, i)).dataSync()).toEqual(ramp(3, i).mul(2).dataSync());
      }
      expect(captured.recordings).toBe(1);
      expect(body).toHaveBeenCalledOnce();
      using lazy = cpu.capture((x: Tensor) => keep(x.mul(2)).add(x), { warm: true });
      expect(thrown(() => lazy(ramp(3))).message).toContain("outlives");
    });
  });

  test("frees all that it took", () => {
    const body = (): void =>
      scope(() => {
        const x = ramp(1 << 16);
        using captured = cpu.capture((x: Tensor) => x.mul(2).add(x).sum());
        for (let i = 0; i < 3; i++) captured(x);
      });
    body();
    cpu.synchronizeSync();
    const [tensors, { current }] = [settledTensors(), cpu.memory()];
    for (let i = 0; i < 3; i++) body();
    cpu.synchronizeSync();
    expect(liveTensors()).toBe(tensors);
    expect(cpu.memory().current).toBe(current);
  });

  test("a disposed one is refused", () => {
    const captured = cpu.capture((x: Tensor) => x);
    captured.dispose();
    expect(thrown(() => captured(ramp(1))).message).toContain("disposed");
    expect(() => device("meta").capture(() => 0)).toThrow("meta");
  });
});

describe("random numbers", () => {
  const half = (generator: Generator | undefined, dtype: "bf16" | "f16") => (x: Tensor) =>
    dropout(x.to(dtype), { p: 0.3, generator });
  const bodies: [string, (generator: Generator | undefined) => (x: Tensor) => Tensor][] = [
    ["uniform", (generator) => (x) => x.add(uniform([4], { low: -1, generator }))],
    [
      "normal, twice",
      (generator) => (x) => x.mul(normal([4], { generator })).add(normal([4], { generator })),
    ],
    ["truncated normal", (generator) => (x) => x.add(truncatedNormal([4], { dtype: "f64", generator }))],
    ["bernoulli", (generator) => (x) => x.mul(bernoulli([4], { p: 0.4, generator }).to("f32"))],
    ["randint", (generator) => (x) => x.add(randint([4], 0, 1000, { generator }).to("f32"))],
    ["permutation", (generator) => (x) => x.take(permutation(4, { generator }))],
    ["dropout", (generator) => (x) => dropout(x, { p: 0.3, generator })],
    ["dropout of f64", (generator) => (x) => dropout(x.to("f64"), { p: 0.3, generator })],
    ["dropout of bf16", (generator) => half(generator, "bf16")],
    ["dropout of f16", (generator) => half(generator, "f16")],
    ["dropout of nothing", (generator) => (x) => dropout(x, { p: 0, generator })],
    ["dropout of all", (generator) => (x) => dropout(x, { p: 1, generator })],
    ["without axes", (generator) => (x) => x.add(normal([], { generator }))],
  ];
  const x = keep(ramp(4));

  test.each(bodies)("%s: each replay draws what the call would have drawn", (_, make) => {
    scope(() => {
      const [ours, theirs] = [new Generator(9), new Generator(9)];
      const body = make(theirs);
      using captured = cpu.capture(make(ours));
      for (let i = 0; i < 5; i++) {
        expect(captured(x).dataSync()).toEqual(body(x).dataSync());
        expect(ours.state).toEqual(theirs.state);
        // Draws of others in between.
        if (i === 3) for (const generator of [ours, theirs]) normal([9], { generator });
      }
      expect(captured.recordings).toBe(1);
    });
  });

  test("of the default generator, also after it was started anew", () => {
    scope(() => {
      const run = (body: (x: Tensor) => Tensor): unknown[] =>
        [1, 1, 2, 1].flatMap((start) => {
          seed(start);
          return [body(x).dataSync(), body(x).dataSync(), defaultGenerator().state];
        });
      const body = (x: Tensor): Tensor => x.add(normal([4])).mul(uniform([4]));
      using captured = cpu.capture((x: Tensor) => body(x));
      expect(run(captured)).toEqual(run(body));
      expect(captured.recordings).toBe(1);
    });
  });

  test("of a generator that is put back inside, as checkpoint does", () => {
    scope(() => {
      const body = (generator: Generator) => (x: Tensor) => {
        const before = generator.state;
        const a = normal([4], { generator });
        const after = generator.state;
        generator.state = before;
        const again = normal([4], { generator });
        generator.state = after;
        return stack([x.add(a), x.add(again), normal([4], { generator })]);
      };
      const [ours, theirs] = [new Generator(9), new Generator(9)];
      using captured = cpu.capture(body(ours));
      for (let i = 0; i < 4; i++) {
        expect(captured(x).dataSync()).toEqual(body(theirs)(x).dataSync());
        expect(ours.state).toEqual(theirs.state);
      }
    });
  });

  test("a recording that must be made again has drawn nothing", () => {
    scope(() => {
      const model = { weight: ramp(4) };
      const body = (generator: Generator) => (x: Tensor) =>
        x.mul(model.weight).add(normal([4], { generator }));
      const [ours, theirs] = [new Generator(9), new Generator(9)];
      using captured = cpu.capture(body(ours));
      for (let i = 0; i < 8; i++) {
        if (i === 3) {
          model.weight.dispose();
          model.weight = ramp(4, 2);
        }
        expect(captured(x).dataSync()).toEqual(body(theirs)(x).dataSync());
      }
    });
  });

  test("keep their values though the recording uses memory again", () => {
    scope(() => {
      const body = (generator: Generator) => (x: Tensor) => {
        let y = x;
        for (let i = 0; i < 4; i++) {
          const before = y;
          y = scope(() =>
            before
              .mul(2)
              .add(1)
              .tanh()
              .add(normal([4], { generator })),
          );
        }
        return y;
      };
      const [ours, theirs] = [new Generator(9), new Generator(9)];
      const listened = vi.fn(body(ours));
      using captured = cpu.capture(listened);
      for (let i = 0; i < 4; i++) expect(captured(x).dataSync()).toEqual(body(theirs)(x).dataSync());
      // As it is, to find what it draws, and to record.
      expect(listened).toHaveBeenCalledTimes(3);
    });
  });

  test("of another shape each time, or beside steps on the host, are refused", () => {
    scope(() => {
      let count = 0;
      using restless = cpu.capture((x: Tensor) => x.add(normal([++count]).sum()));
      using counting = cpu.capture((x: Tensor) => {
        onEveryRun(() => count++);
        return x.add(normal([4]));
      });
      for (const [captured, message] of [
        [restless, "something else each time"],
        [counting, "repeats on the host"],
      ] as const) {
        captured(x);
        expect(thrown(() => captured(x))).toBeInstanceOf(CaptureError);
        expect(thrown(() => captured(x)).message).toContain(message);
        expect(captured.recordings).toBe(0);
      }
    });
  });

  test("are freed after each replay", () => {
    scope(() => {
      using captured = cpu.capture((x: Tensor) => x.add(normal([4])).sum());
      for (let i = 0; i < 3; i++) captured(x).dispose();
      const before = settledTensors();
      for (let i = 0; i < 5; i++) captured(x).dispose();
      expect(liveTensors()).toBe(before);
    });
  });
});

describe("what a recording cannot hold", () => {
  const x = keep(ramp(4));
  const cases: [string, string, () => unknown, (x: Tensor) => unknown][] = [
    ["a host read", "read", () => undefined, (t) => t.sum().itemSync()],
    ["waiting", "synchronize outside", () => undefined, () => cpu.synchronizeSync()],
    ["a data-dependent size", "read", () => undefined, (t) => nonzeroSync(t)],
    ["host values", "argument", () => undefined, (t) => t.add(tensor([1, 2, 3, 4]))],
    ["a draw by probabilities", "multinomial: ", () => undefined, (t) => multinomial(t.square(), 1)],
    ["a write to an argument", "argument", () => undefined, (t) => t.setAt([0], 1)],
    ["giving away", "share it outside", () => undefined, (t) => t.share()],
  ];
  test.each(cases)("%s", (_, message, __, body) => {
    scope(() => {
      using captured = cpu.capture((t: Tensor) => {
        body(t);
        return t.add(1);
      });
      captured(x.mul(1));
      const error = thrown(() => captured(x.mul(1)));
      expect(error).toBeInstanceOf(CaptureError);
      expect(error.message).toContain(message);
      expect(captured.recordings).toBe(0);
      expect(x.add(1).sum().itemSync()).toBeTypeOf("number");
    });
  });

  const generators: [string, string, (generator: Generator) => Tensor][] = [
    ["made inside", "make it outside", () => normal([4], { generator: new Generator(3) })],
    ["forked inside", "make it outside", (generator) => normal([4], { generator: generator.fork("a") })],
    [
      "set back before it draws",
      "set it outside",
      (generator) => {
        generator.state = { seed: 3, counter: 0 };
        return normal([4], { generator });
      },
    ],
    [
      "set to another seed after it drew",
      "set it outside",
      (generator) => {
        const y = normal([4], { generator });
        generator.state = { seed: generator.state.seed + 1, counter: 0 };
        return y;
      },
    ],
    [
      "the default one, started anew",
      "start it outside",
      () => {
        seed(7);
        return normal([4]);
      },
    ],
  ];
  test.each(generators)("a generator that is %s", (_, message, draw) => {
    scope(() => {
      const generator = new Generator(3);
      using captured = cpu.capture((t: Tensor) => t.add(draw(generator)));
      captured(x);
      const before = generator.state;
      const error = thrown(() => captured(x));
      expect(error).toBeInstanceOf(CaptureError);
      expect(error.message).toContain(message);
      expect(generator.state).toEqual(before);
    });
  });

  test("what stands after a draw, which the generator then has not given away", () => {
    scope(() => {
      const generator = new Generator(3);
      using captured = cpu.capture((t: Tensor) => t.add(normal([4], { generator }).sum().itemSync()));
      captured(x);
      const before = generator.state;
      expect(thrown(() => captured(x)).message).toContain("read");
      expect(generator.state).toEqual(before);
    });
  });

  test("a tensor that outlives the function, which then has no values", () => {
    scope(() => {
      let leak: Tensor | undefined;
      using captured = cpu.capture((t: Tensor) => {
        leak = keep(t.mul(3));
        return t.add(1);
      });
      captured(x);
      expect(thrown(() => captured(x)).message).toContain("made inside (by mul) outlives");
      expect(thrown(() => leak!.dataSync()).message).toContain("outlives");
      leak!.dispose();
    });
  });

  test("a gradient from outside", () => {
    using captured = cpu.capture((t: Tensor) => t.add(1));
    const listen = (): unknown =>
      intercept(
        (_, __, ___, execute) => execute(1),
        () => captured(x),
      );
    expect(thrown(listen)).toBeInstanceOf(CaptureError);
  });

  test("an error of the function goes through, and the next call records again", () => {
    scope(() => {
      let fail = false;
      const before = settledTensors();
      using captured = cpu.capture((t: Tensor) => {
        const y = t.mul(2);
        if (fail) throw new Error("mine");
        return y.add(t);
      });
      captured(x);
      fail = true;
      expect(() => captured(x)).toThrow("mine");
      fail = false;
      expect(captured(x).dataSync()).toEqual(x.mul(3).dataSync());
      expect(captured.recordings).toBe(1);
      // Both results, and what the second was compared with.
      expect(liveTensors() - before).toBe(3);
    });
  });

  test("a kernel that fails poisons results and what it would have changed", async () => {
    const table = keep(ramp(4));
    using captured = cpu.capture((ids: Tensor) => table.take(ids).mul(2));
    const ids = (list: number[]): Tensor => tensor(list, { dtype: "i32" });
    captured(ids([0, 1]));
    captured(ids([0, 1]));
    const bad = captured(ids([0, 9]));
    await expect(bad.data()).rejects.toThrow("take");
    await expect(cpu.synchronize()).rejects.toThrow("take");
    expect(captured(ids([3, 3])).dataSync()).toEqual(
      table
        .take(ids([3, 3]))
        .mul(2)
        .dataSync(),
    );
    table.dispose();
  });

  test("a captured function inside another is a part of it", () => {
    scope(() => {
      using inner = cpu.capture((t: Tensor) => t.mul(2));
      using outer = cpu.capture((t: Tensor) => add(inner(t), inner(t.add(1))));
      for (let i = 0; i < 4; i++) {
        const t = ramp(4, i + 1);
        expect(outer(t).dataSync()).toEqual(add(t.mul(2), t.add(1).mul(2)).dataSync());
      }
      expect([inner.recordings, outer.recordings]).toEqual([1, 1]);
    });
  });
});
