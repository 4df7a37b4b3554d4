//! The loss curve of the quickstart's model beside PyTorch's, from the same weights and batches.
import { readFile } from "node:fs/promises";
import { CORENET_NAMES, OpenELM, type OpenELMOptions } from "@openelm/models";
import type { Shape, Tensor } from "@openelm/tensor";
import { AdamW, type Batch, cosineSchedule, type Loader, Trainer } from "@openelm/train";
import { expect, test } from "vitest";
import { Filler } from "../src/fill.js";

const FOLDER = new URL("../loss-curve/", import.meta.url);
const IGNORED = -100;

/** Below this, a difference is none, however close the two runs of PyTorch are. */
const LEAST = 1e-3;

interface Settings {
  readonly seed: number;
  readonly steps: number;
  readonly model: OpenELMOptions;
  readonly optim: {
    readonly lr: number;
    readonly betas: readonly [number, number];
    readonly eps: number;
    readonly weightDecay: number;
    readonly clip: number;
  };
  readonly schedule: { readonly warmup: number; readonly warmupLr: number; readonly minLr: number };
  readonly batch: { readonly sequences: number; readonly sequenceLength: number };
  readonly tokens: { readonly batches: number; readonly documentStart: number };
}

/** Losses of PyTorch with one thread and with two. */
interface Curve {
  readonly threads1: readonly number[];
  readonly threads2: readonly number[];
}

const json = async <T>(name: string): Promise<T> =>
  JSON.parse(await readFile(new URL(name, FOLDER), "utf8")) as T;

/** Norm weights 1, matrices spread evenly with the deviations of OpenELM's initialization. */
async function startingModel({ model: options, seed }: Settings): Promise<OpenELM> {
  const model = new OpenELM(options);
  const fill = new Filler(seed);
  const { modelDim, layers } = options;
  const weight = (name: string, shape: Shape): Tensor => {
    if (shape.length === 1) return fill.tensor(name, shape, 0, 1);
    const isLast = name.endsWith("attn.out_proj.weight") || name.endsWith("ffn.proj_2.weight");
    const std = isLast ? 1 / Math.sqrt(modelDim) / Math.sqrt(2 * layers) : 1 / Math.sqrt(shape[1]!);
    return fill.tensor(name, shape, Math.sqrt(3) * std);
  };
  const weights = Array.from(model.namedParameters(), ([path, { shape }]): [string, Tensor] => {
    const name = CORENET_NAMES.toFile(path);
    return [name, weight(name, shape)];
  });
  return model.load(new Map(weights), { names: CORENET_NAMES });
}

/** The stored batches, over and over. */
class StoredBatches implements Loader {
  readonly state = null;
  readonly #stream: Uint16Array;
  readonly #settings: Settings;

  constructor(file: Buffer, settings: Settings) {
    this.#stream = new Uint16Array(file.buffer.slice(file.byteOffset, file.byteOffset + file.byteLength));
    this.#settings = settings;
  }

  restore(): void {}

  async *[Symbol.asyncIterator](): AsyncGenerator<Batch> {
    for (;;) for (let i = 0; i < this.#settings.tokens.batches; i++) yield this.#batch(i);
  }

  #batch(number: number): Batch {
    const { sequences, sequenceLength } = this.#settings.batch;
    const { documentStart } = this.#settings.tokens;
    const count = sequences * sequenceLength;
    const inputs = Int32Array.from(this.#stream.subarray(number * count, (number + 1) * count));
    const following = this.#stream.subarray(number * count + 1, (number + 1) * count + 1);
    const targets = Int32Array.from(following, (id) => (id === documentStart ? IGNORED : id));
    let document = 0;
    const documents = inputs.map((id, i) => {
      if (i % sequenceLength === 0) document = 0;
      if (id === documentStart) document++;
      return document;
    });
    const tokens = targets.reduce((sum, id) => sum + (id === IGNORED ? 0 : 1), 0);
    return { inputs, targets, documents, shape: [sequences, sequenceLength], tokens };
  }
}

test("training the quickstart's model gives PyTorch's losses", { timeout: 600_000 }, async () => {
  const [settings, curve] = [await json<Settings>("config.json"), await json<Curve>("curve.json")];
  const { optim, schedule, steps } = settings;
  const { clip, ...options } = optim;
  const model = await startingModel(settings);
  const trainer = new Trainer({
    model,
    optimizer: new AdamW(model, options),
    loader: new StoredBatches(await readFile(new URL("tokens.u16", FOLDER)), settings),
    schedule: cosineSchedule({ lr: optim.lr, updates: steps, ...schedule }),
    clip,
    loss: { ignoreIndex: IGNORED },
    steps,
  });
  const losses: number[] = [];
  for await (const event of trainer.run()) if (event.type === "step") losses.push(event.ce);

  // How far rounding alone has taken PyTorch from itself by a step; the distance at one step may be 0 by chance.
  let spread = 0;
  let worst = { step: 0, difference: 0, allowed: LEAST };
  for (const [i, loss] of losses.entries()) {
    spread = Math.max(spread, Math.abs(curve.threads1[i]! - curve.threads2[i]!));
    const difference = Math.abs(loss - curve.threads1[i]!);
    const allowed = Math.max(LEAST, 3 * spread);
    if (!(difference / allowed <= worst.difference / worst.allowed)) worst = { step: i, difference, allowed };
  }
  expect(losses).toHaveLength(curve.threads1.length);
  expect(losses.at(-1)).toBeLessThan(losses[0]! - 2);
  expect(worst.difference, `at step ${worst.step} of ${losses.length}`).toBeLessThanOrEqual(worst.allowed);
});
