import { collectGarbage } from "@openelm/testing";
import { describe, expect, test, vi } from "vitest";
import {
  bernoulli,
  CaptureError,
  defaultGenerator,
  device,
  dropout,
  Generator,
  keep,
  liveTensors,
  normal,
  onEveryRun,
  permutation,
  randint,
  scope,
  seed,
  stack,
  type Tensor,
  tensor,
  truncatedNormal,
  uniform,
} from "../src/index.js";
import { thrown } from "./thrown.js";

const cpu = device("cpu");
const ramp = (count: number, scale = 1): Tensor =>
  tensor(Float32Array.from({ length: count }, (_, i) => Math.sin(i + 1) * scale));

describe("random numbers of a recording", () => {
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
      let fewer = 4;
      using shrinking = cpu.capture((x: Tensor) => {
        let y = x;
        for (let i = 0; i < Math.max(1, fewer); i++) y = y.add(normal([4]));
        fewer--;
        return y;
      });
      for (const [captured, message] of [
        [restless, "something else each time"],
        [shrinking, "something else each time"],
        [counting, "repeats on the host"],
      ] as const) {
        captured(x);
        const error = thrown(() => captured(x));
        expect(error).toBeInstanceOf(CaptureError);
        expect(error.message).toContain(message);
        expect(captured.recordings).toBe(0);
      }
    });
  });

  test("are freed after each replay", () => {
    scope(() => {
      using captured = cpu.capture((x: Tensor) => x.add(normal([4])).sum());
      for (let i = 0; i < 3; i++) captured(x).dispose();
      collectGarbage();
      const before = liveTensors();
      for (let i = 0; i < 5; i++) captured(x).dispose();
      expect(liveTensors()).toBe(before);
    });
  });
});

describe("what cannot be drawn anew", () => {
  const x = keep(ramp(4));

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
});
