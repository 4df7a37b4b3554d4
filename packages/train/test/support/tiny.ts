//! A language model and a loader that are small enough to train in a test.
import {
  type CrossEntropyLossOptions,
  crossEntropyLoss,
  Dropout,
  Embedding,
  Linear,
  LoRA,
  type LoRAOptions,
  type LossParts,
  Module,
} from "@openelm/nn";
import { Generator, type Tensor, withDefaults } from "@openelm/tensor";
import {
  AdamW,
  type Batch,
  cosineSchedule,
  type Loader,
  type LossBatch,
  type Optimizer,
  Trainer,
  type TrainerOptions,
} from "../../src/index.js";

export const VOCAB = 24;
const DIM = 16;

export interface TinyLMOptions {
  readonly dropout?: number;
  /** Default `false`: it counts its calls. */
  readonly replayable?: boolean;
}

/** Predicts a token from the one before. */
export class TinyLM extends Module {
  readonly embedding = new Embedding(VOCAB, DIM);
  readonly hidden = new Linear(DIM, 2 * DIM);
  readonly dropout: Dropout;
  readonly head = new Linear(2 * DIM, VOCAB);
  /** Its dropout draws from here. */
  readonly generator = new Generator(5);
  /** Calls of `loss` whose result is not a number; a replay makes none. */
  readonly poisoned = new Set<number>();
  calls = 0;
  readonly replayable: boolean;

  constructor({ dropout = 0, replayable = false }: TinyLMOptions = {}) {
    super();
    this.dropout = new Dropout(dropout);
    this.replayable = replayable;
  }

  loss({ inputs, targets, tokens }: LossBatch, options: CrossEntropyLossOptions = {}): LossParts {
    const h = this.dropout.forward(this.hidden.forward(this.embedding.forward(inputs)).relu(), {
      generator: this.generator,
    });
    const parts = crossEntropyLoss(this.head.forward(h), targets, tokens ?? targets.size, options);
    return this.poisoned.has(this.calls++) ? { ...parts, loss: parts.loss.mul(Number.NaN) } : parts;
  }
}

export interface TinyLoaderOptions {
  readonly sequences?: number;
  readonly length?: number;
  /** Batches until it ends. */
  readonly count?: number;
}

/** Sequences in which each token follows from the one before, with some targets ignored. */
export class TinyLoader implements Loader {
  readonly #sequences: number;
  readonly #length: number;
  readonly #count: number;
  #next = 0;

  constructor({ sequences = 4, length = 8, count = Number.POSITIVE_INFINITY }: TinyLoaderOptions = {}) {
    this.#sequences = sequences;
    this.#length = length;
    this.#count = count;
  }

  get state(): { next: number } {
    return { next: this.#next };
  }

  restore({ next }: { next: number }): void {
    this.#next = next;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Batch> {
    while (this.#next < this.#count * this.#sequences) {
      const rows = Array.from({ length: this.#sequences }, () => sequence(this.#next++, this.#length));
      yield batchOf(rows);
    }
  }
}

/** Sequence number n: `t → 5t + 3 + (n mod 2)`, the last n mod 3 targets ignored. */
function sequence(n: number, length: number): { inputs: number[]; targets: number[] } {
  const all = [(n * 7) % VOCAB];
  while (all.length <= length) all.push((5 * all.at(-1)! + 3 + (n % 2)) % VOCAB);
  return {
    inputs: all.slice(0, length),
    targets: all.slice(1).map((t, i) => (i >= length - (n % 3) ? -100 : t)),
  };
}

export function batchOf(rows: readonly { inputs: number[]; targets: number[] }[]): Batch {
  const targets = Int32Array.from(rows.flatMap((row) => row.targets));
  return {
    inputs: Int32Array.from(rows.flatMap((row) => row.inputs)),
    targets,
    shape: [rows.length, rows[0]!.inputs.length],
    tokens: targets.filter((t) => t >= 0).length,
  };
}

/** The same batch again and again, made once. */
export class SameBatch implements Loader {
  readonly state = null;
  readonly #batch: Batch;

  constructor(sequences: number, length: number) {
    this.#batch = batchOf(Array.from({ length: sequences }, (_, n) => sequence(n, length)));
  }

  restore(): void {}

  async *[Symbol.asyncIterator](): AsyncGenerator<Batch> {
    for (;;) yield this.#batch;
  }
}

export interface Tiny {
  readonly model: TinyLM;
  readonly optimizer: Optimizer;
  readonly trainer: Trainer;
  readonly loader: TinyLoader;
}

/** A trainer of a new tiny model; the same each time. */
export function tiny(
  options: Partial<TrainerOptions> = {},
  { lora, ...extras }: TinyLoaderOptions & TinyLMOptions & { lora?: LoRAOptions } = {},
): Tiny {
  const model = withDefaults({ seed: 3 }, () => new TinyLM(extras));
  model.initialize();
  if (lora !== undefined) withDefaults({ seed: 4 }, () => model.apply(new LoRA(lora)));
  const optimizer = options.optimizer ?? new AdamW(model, { lr: 1e-2 });
  const loader = new TinyLoader(extras);
  const trainer = new Trainer({
    model,
    optimizer,
    loader,
    schedule: cosineSchedule({ lr: 1e-2, updates: 40, warmup: 4 }),
    steps: 20,
    generators: { dropout: model.generator },
    ...options,
  });
  return { model, optimizer, trainer, loader };
}

/** All weights of a model by path, on the host. */
export const weightsOf = (model: Module): Promise<Record<string, Float32Array>> =>
  valuesOf(Array.from(model.namedParameters(), ([path, { value }]) => [path, value] as const));

/** The values of named tensors, on the host. */
export async function valuesOf(
  tensors: Iterable<readonly [name: string, tensor: Tensor]>,
): Promise<Record<string, Float32Array>> {
  const read = async ([name, tensor]: readonly [string, Tensor]) =>
    [name, (await tensor.data()) as Float32Array] as const;
  return Object.fromEntries(await Promise.all(Array.from(tensors, read)));
}
