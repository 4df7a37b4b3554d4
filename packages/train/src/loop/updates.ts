//! The updates of a run, one after the other: as the calls that they consist of, or as replays of a recording of these.
import { CaptureError, OutOfMemoryError } from "@openelm/native";
import { type Captured, type Device, Scope, type Tensor, tensor } from "@openelm/tensor";
import type { Optimizer } from "../optim/optimizer.js";
import type { Batch, LanguageModel } from "./contracts.js";
import { breathe, type Reading, read, type Sums, Update, type UpdateOptions, upload } from "./update.js";

/** Whether updates are replayed: where that can be and gains something, always, or never. */
export type CaptureMode = "auto" | boolean;

/**
 * Parameters times positions up to which a replay gains something on a CPU. It saves what the calls themselves cost, and
 * holds memory for all that lies between them: a tiny model's update takes a fifth of the time, one of 2.4 million
 * parameters over 64 positions nine tenths, over 1024 as much as before.
 */
const WORTH = 1e9;

export interface UpdatesOptions extends UpdateOptions {
  readonly capture: CaptureMode;
}

type Uploaded = ReturnType<typeof upload>;
type WholeArguments = [batches: readonly Uploaded[], tokens: Tensor, lr: Tensor];

/** All that a recording takes for granted and that may change between updates without being a tensor. */
type Form = readonly unknown[];

/**
 * Makes updates, and replays them where the one before was of the same form.
 *
 * The first of a form runs as it is, since it makes what is made at first use, such as the optimizer's state; the second is
 * recorded. There is one recording at a time: each holds memory for all that lies between its ops.
 */
export class Updates {
  readonly #model: LanguageModel;
  readonly #device: Device;
  readonly #update: Update;
  readonly #capture: CaptureMode;
  /** The form of the last update that was not replayed. */
  #last: Form | undefined;
  #recording: { readonly form: Form; readonly replay: Captured<WholeArguments, Tensor> } | undefined;
  #refusal: string | undefined;
  #told = false;

  constructor(model: LanguageModel, optimizer: Optimizer, { capture, ...options }: UpdatesOptions) {
    this.#model = model;
    this.#device = model.parameters()[0]!.device;
    this.#update = new Update(model, optimizer, options);
    this.#capture = capture;
    if (capture === "auto") this.#refusal = silent(model, optimizer);
  }

  /**
   * Enqueues one update and promises its numbers.
   *
   * All micro-batches are divided by the counted tokens of all of them, so that the result is that of one large batch.
   *
   * @throws CaptureError if it cannot be recorded although it must.
   */
  async next(batches: readonly Batch[], lr: number): Promise<{ readonly reading: Promise<Reading> }> {
    await breathe(this.#device);
    using scope = new Scope();
    const tokens = batches.reduce((sum, batch) => sum + batch.tokens, 0);
    const { count, rate } = scope.run(() => ({
      // A batch without any counted token has the loss 0, not 0/0.
      count: tensor(Math.max(tokens, 1), { dtype: "f32", device: this.#device }),
      rate: tensor(lr, { dtype: "f32", device: this.#device }),
    }));
    if (this.#isRecorded(batches)) {
      const report = scope.run(() => this.#replayed(batches, count, rate));
      if (report !== undefined) return { reading: read(report) };
    }
    let sums: Sums | undefined;
    for (const batch of batches) {
      if (sums !== undefined) await breathe(this.#device);
      sums = scope.run(() =>
        this.#update.add(sums, { ...upload(batch, this.#device), tokens: count }, batches.length > 1),
      );
    }
    return { reading: read(scope.run(() => this.#update.apply(sums!, rate))) };
  }

  /** Why updates are not replayed, the first time that it is asked after it was found out. */
  takeRefusal(): string | undefined {
    if (this.#told) return undefined;
    this.#told = this.#refusal !== undefined;
    return this.#refusal;
  }

  /** Before other work that wants memory: gives that of the recording back where little else is left. */
  makeRoom(): void {
    if (this.#recording === undefined) return;
    const { current, limit } = this.#device.memory();
    if (current > limit / 2) this[Symbol.dispose]();
  }

  /** Gives the memory of the recording back; the next update runs as the first did. */
  [Symbol.dispose](): void {
    this.#recording?.replay.dispose();
    this.#recording = undefined;
    this.#last = undefined;
  }

  /** All of an update at once. */
  #whole(...[batches, tokens, lr]: WholeArguments): Tensor {
    let sums: Sums | undefined;
    for (const batch of batches) sums = this.#update.add(sums, { ...batch, tokens }, batches.length > 1);
    return this.#update.apply(sums!, lr);
  }

  /** Whether there is a recording of such an update, or is to be one now. */
  #isRecorded(batches: readonly Batch[]): boolean {
    if (this.#capture === false || this.#refusal !== undefined) return false;
    const form = formOf(this.#model, batches);
    if (this.#recording !== undefined && isSame(form, this.#recording.form)) return true;
    if (this.#capture === "auto" && !isWorthwhile(this.#model, this.#device, batches)) return false;
    if (this.#last === undefined || !isSame(form, this.#last)) {
      this.#last = form;
      return false;
    }
    this.#recording?.replay.dispose();
    const whole = (...args: WholeArguments): Tensor => this.#whole(...args);
    this.#recording = { form, replay: this.#device.capture(whole, { warm: true }) };
    return true;
  }

  /** Undefined if it cannot be recorded: nothing has happened then. */
  #replayed(batches: readonly Batch[], count: Tensor, rate: Tensor): Tensor | undefined {
    const uploaded = batches.map((batch) => upload(batch, this.#device));
    try {
      return this.#recording!.replay(uploaded, count, rate);
    } catch (error) {
      const isRefused = error instanceof CaptureError || error instanceof OutOfMemoryError;
      this[Symbol.dispose]();
      if (this.#capture !== "auto" || !isRefused) throw error;
      this.#refusal = error.message;
      return undefined;
    }
  }
}

/** Who of the two does not say that a recording of it may be replayed. */
function silent(model: LanguageModel, optimizer: Optimizer): string | undefined {
  const whose =
    model.replayable !== true ? "the model" : optimizer.replayable !== true ? "the optimizer" : undefined;
  return whose && `${whose} does not say that it can be (replayable)`;
}

/**
 * Only small updates on a CPU. A GPU is busy anyway while the calls of a large update are made: replaying 270M and 1.1B on an
 * H200 gave 0.5 and 0.7 % and took 10 and 14 GB more.
 */
export function isWorthwhile(model: LanguageModel, device: Device, batches: readonly Batch[]): boolean {
  const parameters = model.parameters().reduce((sum, { size }) => sum + size, 0);
  const positions = batches.reduce((sum, { shape }) => sum + shape[0]! * shape[1]!, 0);
  return device.name === "cpu" && parameters * positions <= WORTH;
}

function formOf(model: LanguageModel, batches: readonly Batch[]): Form {
  const shapes = batches.map(({ shape, documents }) => `${shape.join()} ${documents !== undefined}`);
  const parameters = model.parameters().flatMap((parameter) => [parameter, parameter.trainable]);
  return [model.training, ...shapes, ...parameters];
}

const isSame = (a: Form, b: Form): boolean => a.length === b.length && a.every((item, i) => item === b[i]);
