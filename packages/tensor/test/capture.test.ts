import { collectGarbage } from "@openelm/testing";
import { beforeEach, describe, expect, test, vi } from "vitest";
import {
  add,
  attention,
  autocast,
  CaptureError,
  cacheWrite,
  device,
  intercept,
  isOpenELMError,
  keep,
  liveTensors,
  multinomial,
  nonzeroSync,
  Scope,
  scope,
  type Tensor,
  tensor,
  zeros,
} from "../src/index.js";
import { thrown } from "./thrown.js";

const cpu = device("cpu");
const ramp = (count: number, scale = 1): Tensor =>
  tensor(Float32Array.from({ length: count }, (_, i) => Math.sin(i + 1) * scale));

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
    collectGarbage();
    const [tensors, { current }] = [liveTensors(), cpu.memory()];
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
      collectGarbage();
      const before = liveTensors();
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
