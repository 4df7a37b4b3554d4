//! One update of the parameters: gradients of all micro-batches, clipping, the optimizer's step. Nothing is read back, and
//! what differs from one update to the next is a tensor, so that it can be recorded.
import { setImmediate } from "node:timers/promises";
import { Gradients, type ValueAndGrad, valueAndGrad } from "@openelm/autograd";
import type { CrossEntropyLossOptions, LossParts } from "@openelm/nn";
import { accumulate, autocast, type Device, ones, scope, stack, type Tensor, tensor } from "@openelm/tensor";
import { clipGlobalNorm } from "../optim/clip.js";
import type { Optimizer } from "../optim/optimizer.js";
import type { Batch, LanguageModel, LossBatch } from "./contracts.js";

/** Precision of matmuls and attention. Parameters, their gradients and the optimizer's state are f32 in any case. */
export type Precision = "f32" | "bf16";

export interface UpdateOptions {
  readonly precision: Precision;
  readonly loss: CrossEntropyLossOptions;
  readonly clip: number | undefined;
}

/** What an update tells about itself, once the device has come so far. */
export interface Reading {
  readonly loss: number;
  readonly ce: number;
  readonly z: number;
  readonly gradNorm: number;
  readonly skipped: boolean;
}

/** Commands that may wait before JavaScript makes more: enough for the device never to run dry, too few to block. */
const MAX_PENDING = 2048;

/** Sums over the micro-batches so far. */
export interface Sums {
  readonly loss: Tensor;
  readonly ce: Tensor;
  readonly z: Tensor;
  readonly grads: Map<string, Tensor | null>;
}

/** The two parts of an update. */
export class Update {
  readonly #model: LanguageModel;
  readonly #optimizer: Optimizer;
  readonly #clip: number | undefined;
  readonly #lossAndGrad: (
    model: LanguageModel,
    batch: LossBatch,
  ) => ValueAndGrad<Gradients, Pick<LossParts, "ce" | "z">>;

  constructor(model: LanguageModel, optimizer: Optimizer, { precision, loss, clip }: UpdateOptions) {
    this.#model = model;
    this.#optimizer = optimizer;
    this.#clip = clip;
    const lossAndGrad = valueAndGrad((model: LanguageModel, batch: LossBatch) => {
      const { loss: value, ce, z } = inPrecision(precision, () => model.loss(batch, loss));
      return { loss: value, aux: { ce, z } };
    });
    this.#lossAndGrad = lossAndGrad;
  }

  /**
   * Adds what a micro-batch gives to the sums, whose tensors it changes.
   *
   * @param more - Whether there are several micro-batches.
   */
  add(sums: Sums | undefined, batch: LossBatch, more: boolean): Sums {
    return scope(() => {
      const { value, aux, grads } = this.#lossAndGrad(this.#model, batch);
      return plus(sums, { loss: value, ...aux, grads: new Map(grads.entries()) }, more);
    });
  }

  /** Clips and takes the step; gives the numbers of a {@link Reading}, `[5]` f32. */
  apply({ loss, ce, z, grads }: Sums, lr: Tensor): Tensor {
    return scope(() => {
      const gradients = new Gradients(grads);
      const { norm, scale, skip } = clipGlobalNorm(gradients, this.#clip, [loss]);
      this.#optimizer.step(this.#model, gradients, { lr, scale, skip });
      return stack([loss, ce, z, norm, skip].map((t) => t.to("f32").reshape([])));
    });
  }
}

/** Starts to read what {@link Update.apply} gave. */
export function read(report: Tensor): Promise<Reading> {
  const reading = report.data().then((values) => toReading(values as Float32Array));
  // Whoever awaits it gets the error; until then it must not count as unhandled.
  reading.catch(() => undefined);
  return reading;
}

function toReading([loss, ce, z, gradNorm, skip]: Float32Array): Reading {
  return { loss: loss!, ce: ce!, z: z!, gradNorm: gradNorm!, skipped: skip !== 0 };
}

/** Tensors of a batch; whole numbers are copied before this returns. */
export function upload(
  { inputs, targets, documents, shape }: Batch,
  device: Device,
): Pick<LossBatch, "inputs" | "targets" | "documents"> {
  const ids = (values: Int32Array): Tensor => tensor(values, { dtype: "i32", shape, device });
  return { inputs: ids(inputs), targets: ids(targets), documents: documents && ids(documents) };
}

export const inPrecision = <T>(precision: Precision, fn: () => T): T =>
  precision === "f32" ? fn() : (autocast(precision, fn as never) as T);

/** Lets the event loop turn, and the queue of the device shrink where it is long. */
export async function breathe(device: Device): Promise<void> {
  await setImmediate();
  if (device.name !== "meta") await device.ready({ pending: MAX_PENDING });
}

function plus(sums: Sums | undefined, next: Sums, more: boolean): Sums {
  if (sums === undefined) {
    // Gradients of two parameters may share memory, and a sum must not reach the other.
    const own = (grad: Tensor | null): Tensor | null => (more ? (grad?.copy() ?? null) : grad);
    return { ...next, grads: new Map(Array.from(next.grads, ([path, grad]) => [path, own(grad)])) };
  }
  const into: Tensor[] = [];
  const from: Tensor[] = [];
  for (const [path, grad] of next.grads) {
    const sum = sums.grads.get(path);
    if (grad === null) continue;
    if (sum == null) sums.grads.set(path, grad.copy());
    else {
      into.push(sum);
      from.push(grad);
    }
  }
  if (into.length > 0) accumulate(ones([], { dtype: "f32", device: into[0]!.device }), into, from);
  return {
    loss: sums.loss.add(next.loss),
    ce: sums.ce.add(next.ce),
    z: sums.z.add(next.z),
    grads: sums.grads,
  };
}
