import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { checkpoint } from "@openelm/autograd";
import { crossEntropyLoss, type LossParts } from "@openelm/nn";
import { CaptureError, device, keep, liveTensors, seed, type Tensor, tensor, zeros } from "@openelm/tensor";
import { settledTensors } from "@openelm/testing";
import { describe, expect, test, vi } from "vitest";
import {
  AdamW,
  type Batch,
  type CaptureMode,
  DivergedError,
  type LossBatch,
  SGD,
  type TrainEvent,
  type TrainerOptions,
} from "../src/index.js";
import { isWorthwhile } from "../src/loop/updates.js";
import { batchOf, SameBatch, type Tiny, TinyLM, tiny, VOCAB, valuesOf, weightsOf } from "./support/tiny.js";

type TinyExtras = NonNullable<Parameters<typeof tiny>[1]>;

/** All that a run determines. */
interface Outcome {
  readonly events: readonly object[];
  readonly weights: Record<string, Float32Array>;
  readonly state: Record<string, Float32Array>;
  readonly generator: unknown;
}

/** What is the same for every pace: not what the clock and the memory say. */
const lasting = ({ memory: _, ...event }: TrainEvent & { memory?: unknown }): object =>
  Object.fromEntries(
    Object.entries(event).filter(([key]) => !["tokensPerSecond", "elapsed", "eta"].includes(key)),
  );

async function outcome({ trainer, model, optimizer }: Tiny): Promise<Outcome> {
  const events: object[] = [];
  for await (const event of trainer.run()) if (event.type !== "eager") events.push(lasting(event));
  return {
    events,
    weights: await weightsOf(model),
    state: await valuesOf(optimizer.state()),
    generator: model.generator.state,
  };
}

/** The same run with updates that are replayed or not; how often its loss was called comes along. */
async function ran(
  capture: CaptureMode,
  options: Partial<TrainerOptions> = {},
  extras: TinyExtras = {},
): Promise<{ readonly result: Outcome; readonly calls: number }> {
  seed(1);
  const run = tiny({ steps: 8, ...options, capture }, { replayable: true, ...extras });
  const result = await outcome(run);
  return { result, calls: run.model.calls };
}

test("left to itself, small updates on a CPU are replayed", () => {
  const { model } = tiny();
  const count = model.parameters().reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0);
  const batch = batchOf([{ inputs: [1, 2, 3], targets: [4, 5, 6] }]);
  const of = (time: number): Batch => ({ ...batch, shape: [2, time] });
  const most = Math.floor(1e9 / count / 2);
  expect(isWorthwhile(model, device("cpu"), [of(most)])).toBe(true);
  expect(isWorthwhile(model, device("cpu"), [of(most), of(1)])).toBe(false);
  expect(isWorthwhile(model, device("meta"), [of(1)])).toBe(false);
});

const heldOut = (): Batch[] => [batchOf([{ inputs: [1, 2, 3], targets: [4, 5, -100] }])];

describe("replayed updates have the bits of the calls themselves", () => {
  const cases: [string, Partial<TrainerOptions>, TinyExtras][] = [
    ["as they are", {}, {}],
    ["unclipped", { clip: Number.POSITIVE_INFINITY }, {}],
    ["clipped to little, with a z-loss", { clip: 1e-2, loss: { zLoss: 1e-3 } }, {}],
    ["bf16", { precision: "bf16" }, {}],
    ["LoRA", {}, { lora: { rank: 2 } }],
    ["a learning rate that stays", { schedule: undefined }, {}],
    ["dropout", {}, { dropout: 0.2 }],
    [
      "dropout in bf16, and of an adapter",
      { precision: "bf16" },
      { dropout: 0.2, lora: { rank: 2, dropout: 0.3 } },
    ],
  ];
  for (const accumulate of [1, 3]) {
    test.each(cases)(`${accumulate} micro-batches: %s`, async (_, options, extras) => {
      const [eager, replayed] = [
        await ran(false, { accumulate, ...options }, extras),
        await ran(true, { accumulate, ...options }, extras),
      ];
      expect(replayed.result).toEqual(eager.result);
      expect(eager.calls).toBe(8 * accumulate);
      // The first update and the recording, twice where it draws; no JavaScript of the model after that.
      expect(replayed.calls).toBe((extras.dropout === undefined ? 2 : 3) * accumulate);
    });
  }

  test.each([0, 0.9])("SGD with momentum %f", async (momentum) => {
    const run = async (capture: boolean): Promise<Outcome> => {
      const made = tiny({ capture, steps: 8 }, { replayable: true });
      const optimizer = new SGD(made.model, { lr: 0.1, momentum });
      const { trainer } = tiny({ capture, steps: 8, model: made.model, optimizer, loader: made.loader });
      return outcome({ ...made, trainer, optimizer });
    };
    expect(await run(true)).toEqual(await run(false));
  });

  test("with evaluations and samples in between", async () => {
    const options = {
      evaluation: { batches: heldOut, every: 3 },
      sample: { run: (step: number) => step, every: 2 },
    };
    const [eager, replayed] = [await ran(false, options), await ran(true, options)];
    expect(replayed.result).toEqual(eager.result);
    // Evaluations after updates 3, 6 and 8 call it too.
    expect(replayed.calls).toBe(2 + 3);
  });

  test("with updates that are skipped, up to the end of a run that does not recover", async () => {
    const poisoned = VOCAB - 1;
    const fine = batchOf([{ inputs: [1, 2, 3], targets: [4, 5, 6] }]);
    const spoilt = batchOf([{ inputs: [1, poisoned, 3], targets: [4, 5, 6] }]);
    const run = async (capture: boolean): Promise<[Outcome["weights"], TrainEvent[], unknown]> => {
      const made = tiny({}, { replayable: true });
      const rows = (await made.model.embedding.weight.value.data()) as Float32Array;
      rows.fill(Number.NaN, poisoned * (rows.length / VOCAB));
      made.model.embedding.weight.value = tensor(rows).reshape([VOCAB, -1]);
      const batches = [fine, fine, fine, spoilt, fine, spoilt, spoilt, spoilt, fine];
      const loader = { state: null, restore() {}, [Symbol.asyncIterator]: () => listed(batches) };
      const events: TrainEvent[] = [];
      const { trainer } = tiny({
        ...made,
        loader,
        capture,
        maxSkips: 3,
        onEvent: (e) => void events.push(e),
      });
      const error = await trainer.fit().catch((e: unknown) => e);
      return [await weightsOf(made.model), events.map(lasting) as TrainEvent[], error];
    };
    const [eager, replayed] = [await run(false), await run(true)];
    expect(replayed).toEqual(eager);
    expect(replayed[2]).toBeInstanceOf(DivergedError);
    const skipped = replayed[1].filter((e) => e.type === "step" && e.skipped).map(({ step }) => step);
    expect(skipped).toEqual([4, 6, 7, 8]);
  });

  test("with activations that are computed again, dropout included", async () => {
    class Checkpointed extends TinyLM {
      override loss({ inputs, targets, tokens }: LossBatch): LossParts {
        this.calls++;
        const { generator } = this;
        const block = checkpoint(
          (x: Tensor) => this.dropout.forward(this.hidden.forward(x).relu(), { generator }),
          { parameters: this.hidden, generators: [generator] },
        );
        return crossEntropyLoss(this.head.forward(block(this.embedding.forward(inputs))), targets, tokens!);
      }
    }
    const run = (capture: boolean): Promise<Outcome> => {
      const model = new Checkpointed({ replayable: true, dropout: 0.3 });
      model.initialize(2);
      const optimizer = new AdamW(model, { lr: 1e-2 });
      return outcome({ ...tiny({ model, optimizer, capture, steps: 8, accumulate: 2 }), model, optimizer });
    };
    expect(await run(true)).toEqual(await run(false));
  });

  test("stopped and resumed in the middle", async () => {
    const folder = await mkdtemp(join(tmpdir(), "replayed-"));
    const make = (where: string, capture: boolean, steps: number): Tiny =>
      tiny(
        { folder: join(folder, where), steps, capture, checkpoint: { every: 5 }, accumulate: 2 },
        { replayable: true, dropout: 0.2 },
      );
    const whole = await outcome(make("whole", false, 16));
    await make("stopped", true, 9).trainer.fit();
    const { events: _, ...end } = await outcome(make("stopped", true, 16));
    expect(end).toEqual({ weights: whole.weights, state: whole.state, generator: whole.generator });
    const metrics = (where: string): Promise<string> =>
      readFile(join(folder, where, "metrics.jsonl"), "utf8");
    expect(await metrics("stopped")).toBe(await metrics("whole"));
    await rm(folder, { recursive: true });
  });
});

async function* listed(batches: readonly Batch[]): AsyncGenerator<Batch> {
  yield* batches;
}

describe("what changes between updates", () => {
  /** Runs with `change` done where the step event of `at` is heard; calls of the loss come along. */
  async function changed(
    capture: boolean,
    at: number,
    change: (run: Tiny) => void,
  ): Promise<{ readonly result: Outcome; readonly calls: number }> {
    const run: Tiny = tiny(
      {
        steps: 12,
        capture,
        onEvent: ({ type, step }) => void (type === "step" && step === at && change(run)),
      },
      { replayable: true },
    );
    const result = await outcome(run);
    return { result, calls: run.model.calls };
  }

  test("a batch of another size runs as it is, and is recorded where it stays", async () => {
    const row = { inputs: [1, 2, 3], targets: [4, 5, 6] };
    const sizes = [2, 2, 2, 1, 2, 2, 3, 3, 3, 3, 2, 3];
    const run = async (capture: boolean): Promise<[Outcome, number]> => {
      const batches = sizes.map((n) => batchOf(Array.from({ length: n }, () => row)));
      const loader = { state: null, restore() {}, [Symbol.asyncIterator]: () => listed(batches) };
      const made = tiny({ loader, capture }, { replayable: true });
      return [await outcome(made), made.model.calls];
    };
    const [[eager], [replayed, calls]] = [await run(false), await run(true)];
    expect(replayed).toEqual(eager);
    // 2 and its recording; 1 alone; 3 and its recording; 2 alone.
    expect(calls).toBe(2 + 1 + 2 + 1);
  });

  test("documents that come later are seen", async () => {
    const calls: boolean[] = [];
    class Documents extends TinyLM {
      override loss(batch: LossBatch): LossParts {
        calls.push(batch.documents !== undefined);
        return super.loss(batch);
      }
    }
    const plain = batchOf([{ inputs: [1, 2], targets: [3, 4] }]);
    const batches = [plain, plain, plain, { ...plain, documents: Int32Array.of(0, 1) }, plain];
    const model = new Documents({ replayable: true });
    const loader = { state: null, restore() {}, [Symbol.asyncIterator]: () => listed(batches) };
    await tiny({ model, optimizer: new AdamW(model, { lr: 1e-2 }), loader, capture: true }).trainer.fit();
    expect(calls).toEqual([false, false, true]);
  });

  test.each<[string, number, (run: Tiny) => void]>([
    ["a parameter that is frozen", 4, ({ model }) => void model.freeze(/^hidden/)],
    [
      "a parameter with other values",
      4,
      ({ model }) => {
        model.head.weight.value = zeros(model.head.weight.shape);
      },
    ],
    ["an optimizer that starts anew", 4, ({ optimizer }) => optimizer.load(new Map())],
  ])("%s", async (_, at, change) => {
    const [eager, replayed] = [await changed(false, at, change), await changed(true, at, change)];
    expect(replayed.result).toEqual(eager.result);
    expect(replayed.calls).toBe(4);
  });

  test("a recording makes room for other work where memory is short", async () => {
    const cpu = device("cpu");
    const { limit, ...memory } = cpu.memory();
    const spy = vi.spyOn(cpu, "memory").mockReturnValue({ ...memory, limit: memory.current });
    const options = { evaluation: { batches: heldOut, every: 4 } };
    const { calls } = await ran(true, options);
    spy.mockRestore();
    expect(limit).toBeGreaterThan(0);
    // Twice two calls for eight updates, and one for each evaluation.
    expect(calls).toBe(2 * 2 + 2);
  });
});

describe("what cannot be recorded", () => {
  /** Draws before it looks: the generator must not feel that a recording was tried. */
  class Looking extends TinyLM {
    override loss(batch: LossBatch): LossParts {
      const parts = super.loss(batch);
      return parts.ce.itemSync() > 100 ? { ...parts, loss: parts.loss.mul(2) } : parts;
    }
  }
  const looking = (capture: CaptureMode): Tiny => {
    const model = new Looking({ replayable: true, dropout: 0.2 });
    model.initialize(2);
    const optimizer = new AdamW(model, { lr: 1e-2 });
    return { ...tiny({ model, optimizer, capture, steps: 8, accumulate: 2 }), model, optimizer };
  };
  const reasons = async ({ trainer }: Tiny): Promise<string[]> => {
    const found: string[] = [];
    for await (const event of trainer.run()) if (event.type === "eager") found.push(event.reason);
    return found;
  };

  test("a loss that looks at its values", async () => {
    expect(await outcome(looking("auto"))).toEqual(await outcome(looking(false)));
    expect(await reasons(looking("auto"))).toEqual([expect.stringContaining("values cannot be read")]);
    const error = await looking(true)
      .trainer.fit()
      .catch((e: unknown) => e);
    expect(error).toBeInstanceOf(CaptureError);
    expect((error as Error).message).toContain("values cannot be read");
  });

  test("who does not say that it can be is left alone, and is taken at its word by true", async () => {
    const silent = tiny();
    expect(await reasons(silent)).toEqual(["the model does not say that it can be (replayable)"]);
    expect(silent.model.calls).toBe(20);
    const { model } = tiny({}, { replayable: true });
    const optimizer = Object.assign(new AdamW(model, { lr: 1e-2 }), { replayable: false });
    expect(await reasons(tiny({ model, optimizer }))).toEqual([
      "the optimizer does not say that it can be (replayable)",
    ]);
    const forced = tiny({ capture: true });
    expect(await reasons(forced)).toEqual([]);
    expect(forced.model.calls).toBe(2);
  });

  test("a model that keeps what it made ends as it would have", async () => {
    class Keeping extends TinyLM {
      last: LossParts["ce"] | undefined;
      override loss(batch: LossBatch): LossParts {
        const parts = super.loss(batch);
        this.last?.dispose();
        this.last = keep(parts.ce.mul(1));
        return parts;
      }
    }
    const keeping = (capture: CaptureMode): Tiny & { readonly model: Keeping } => {
      const model = new Keeping({ replayable: true });
      model.initialize(2);
      const optimizer = new AdamW(model, { lr: 1e-2 });
      return { ...tiny({ model, optimizer, capture, steps: 8 }), model, optimizer };
    };
    const [auto, eager] = [keeping("auto"), keeping(false)];
    expect(await outcome(auto)).toEqual(await outcome(eager));
    expect(auto.model.last!.itemSync()).toBe(eager.model.last!.itemSync());
    expect(await reasons(keeping("auto"))).toEqual([expect.stringContaining("outlives")]);
  });
});

describe("memory", () => {
  test("stays flat over replays, and that of the recording is given back", async () => {
    const cpu = device("cpu");
    const run = (steps: number): Tiny =>
      tiny({ steps, accumulate: 2, capture: true, loader: new SameBatch(8, 16) }, { replayable: true });
    await run(4).trainer.fit();
    const before = await settledTensors();
    const { current } = cpu.memory();
    const { trainer, optimizer, model } = run(300);
    const marks: { live: number; bytes: number }[] = [];
    for await (const { type, step } of trainer.run()) {
      if (type === "step" && step % 100 === 0)
        marks.push({ live: liveTensors(), bytes: cpu.memory().current });
    }
    expect(marks[2]).toEqual(marks[0]);
    await cpu.synchronize();
    for (const [, state] of optimizer.state()) state.dispose();
    for (const parameter of model.parameters()) parameter.value.dispose();
    expect(await settledTensors()).toBeLessThanOrEqual(before);
    expect(cpu.memory().current).toBeLessThanOrEqual(current);
  });
});
