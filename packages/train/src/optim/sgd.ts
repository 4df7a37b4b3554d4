import type { Gradients } from "@openelm/autograd";
import type { Module } from "@openelm/nn";
import { sgd, sgdMomentum, type Tensor, UsageError } from "@openelm/tensor";
import {
  type DecayRule,
  decayMatrices,
  type Optimizer,
  readSlots,
  Slots,
  type StepOptions,
  stepScalars,
  targetsOf,
} from "./optimizer.js";

/** Options of {@link SGD}. */
export interface SGDOptions {
  /** Learning rate. */
  readonly lr: number;
  /** Share of the velocity that a step keeps. Default 0: no velocity is kept. */
  readonly momentum?: number | undefined;
  /** Looks ahead along the new velocity. Default `false`. */
  readonly nesterov?: boolean | undefined;
  /** Share of a parameter that is added to its gradient. Default 0. */
  readonly weightDecay?: number | undefined;
  /** Which parameters decay. Default: those of two axes or more. */
  readonly decay?: DecayRule | undefined;
}

/**
 * Gradient descent, with or without momentum.
 *
 * With `g = scale · grad + λp`: `p ← p − lr · g`; with momentum `u ← μu + g` and `p ← p − lr · u`, or
 * `p ← p − lr (g + μu)` with `nesterov`.
 *
 * @example
 * ```ts
 * new SGD(model, { lr: 0.1, momentum: 0.9 }).step(model, grads);
 * ```
 * @see Sutskever et al., 2013, "On the importance of initialization and momentum in deep learning"
 */
export class SGD implements Optimizer {
  lr: number;
  readonly replayable = true;
  readonly momentum: number;
  readonly nesterov: boolean;
  readonly weightDecay: number;
  readonly #model: Module;
  readonly #decay: DecayRule;
  readonly #velocities = new Slots("velocity.");

  constructor(
    model: Module,
    { lr, momentum = 0, nesterov = false, weightDecay = 0, decay = decayMatrices }: SGDOptions,
  ) {
    if (!(lr >= 0 && momentum >= 0 && weightDecay >= 0)) {
      throw new UsageError(
        `SGD: lr, momentum and weightDecay must be 0 or more, got ${lr}, ${momentum}, ${weightDecay}`,
      );
    }
    if (nesterov && momentum === 0)
      throw new UsageError("SGD: nesterov looks ahead along the velocity; give it a momentum");
    this.#model = model;
    this.#decay = decay;
    this.lr = lr;
    this.momentum = momentum;
    this.nesterov = nesterov;
    this.weightDecay = weightDecay;
  }

  step(model: Module, grads: Gradients, { lr = this.lr, scale, skip }: StepOptions = {}): void {
    const targets = targetsOf("SGD", this.#model, model, grads);
    if (targets.length === 0) return;
    const scalars = stepScalars(targets[0]!.value.device, { lr, scale, skip });
    for (const decays of [true, false]) {
      const group = targets.filter(({ path, parameter }) => this.#decay(path, parameter) === decays);
      if (group.length === 0) continue;
      const weightDecay = decays ? this.weightDecay : 0;
      const values = group.map(({ value }) => value);
      const slopes = group.map(({ grad }) => grad);
      if (this.momentum === 0) {
        sgd(scalars.lr, scalars.scale, scalars.skip, values, slopes, { weightDecay });
      } else {
        const velocities = group.map(({ path, value }) => this.#velocities.at(path, value));
        const { momentum, nesterov } = this;
        sgdMomentum(scalars.lr, scalars.scale, scalars.skip, values, slopes, velocities, {
          momentum,
          nesterov,
          weightDecay,
        });
      }
    }
    scalars.dispose();
  }

  state(): Map<string, Tensor> {
    return new Map(this.#velocities.state());
  }

  load(state: ReadonlyMap<string, Tensor>): void {
    const [velocities] = readSlots("SGD", this.#model, state, [this.#velocities], []);
    this.#velocities.replace(velocities!);
  }
}
