import type { Gradients } from "@openelm/autograd";
import type { Module } from "@openelm/nn";
import { accumulate, adamw, keep, ones, sub, type Tensor, UsageError, zeros } from "@openelm/tensor";
import {
  type DecayRule,
  decayMatrices,
  type Optimizer,
  readSlots,
  Slots,
  type StepOptions,
  stepScalars,
  type Target,
  targetsOf,
} from "./optimizer.js";

/** Options of {@link AdamW}. */
export interface AdamWOptions {
  /** Learning rate. */
  readonly lr: number;
  /** Decays of the mean of the gradients and of their squares. Default `[0.9, 0.95]`. */
  readonly betas?: readonly [number, number] | undefined;
  /** Added to the root of the mean square. Default 1e-8. */
  readonly eps?: number | undefined;
  /** Share of a parameter, times `lr`, that a step takes away. Default 0.1. */
  readonly weightDecay?: number | undefined;
  /** Which parameters decay. Default: those of two axes or more. */
  readonly decay?: DecayRule | undefined;
}

/**
 * Adam with decoupled weight decay.
 *
 * With `g = scale · grad` and `t` the number of the step: `m ← β₁m + (1 − β₁)g`, `v ← β₂v + (1 − β₂)g²`,
 * `p ← p − lr (λp + m̂ / (√v̂ + eps))`, `m̂ = m / (1 − β₁ᵗ)`, `v̂ = v / (1 − β₂ᵗ)`.
 *
 * A step that is skipped leaves `m`, `v` and `t` as they are.
 *
 * @example
 * ```ts
 * const optimizer = new AdamW(model, { lr: 1e-3, weightDecay: 0.1 });
 * const { grads } = lossAndGrad(model, batch);
 * optimizer.step(model, grads);
 * ```
 * @see Loshchilov and Hutter, 2019, "Decoupled Weight Decay Regularization", arXiv:1711.05101
 */
export class AdamW implements Optimizer {
  lr: number;
  readonly replayable = true;
  readonly betas: readonly [number, number];
  readonly eps: number;
  readonly weightDecay: number;
  readonly #model: Module;
  readonly #decay: DecayRule;
  readonly #means = new Slots("m.");
  readonly #squares = new Slots("v.");
  /** Steps that were not skipped. On the device, since only it knows which those are. */
  #step: Tensor | undefined;

  constructor(
    model: Module,
    { lr, betas = [0.9, 0.95], eps = 1e-8, weightDecay = 0.1, decay = decayMatrices }: AdamWOptions,
  ) {
    for (const beta of betas) {
      if (!(beta >= 0 && beta < 1))
        throw new UsageError(`AdamW: betas must be in [0, 1), got ${betas.join(", ")}`);
    }
    if (!(lr >= 0 && eps >= 0 && weightDecay >= 0)) {
      throw new UsageError(
        `AdamW: lr, eps and weightDecay must be 0 or more, got ${lr}, ${eps}, ${weightDecay}`,
      );
    }
    this.#model = model;
    this.#decay = decay;
    this.lr = lr;
    this.betas = betas;
    this.eps = eps;
    this.weightDecay = weightDecay;
  }

  step(model: Module, grads: Gradients, { lr = this.lr, scale, skip }: StepOptions = {}): void {
    const targets = targetsOf("AdamW", this.#model, model, grads);
    if (targets.length === 0) return;
    const { device } = targets[0]!.value;
    const scalars = stepScalars(device, { lr, scale, skip });
    this.#step ??= keep(zeros([], { dtype: "f32", device }));
    const one = ones([], { dtype: "f32", device });
    const done = sub(one, scalars.skip);
    accumulate(done, [this.#step], [one]);
    // A skipped first step would be number 0, whose bias correction divides by zero; nothing is written then.
    for (const decays of [true, false]) {
      const group = targets.filter(({ path, parameter }) => this.#decay(path, parameter) === decays);
      if (group.length > 0) this.#update(group, scalars, decays ? this.weightDecay : 0);
    }
    for (const t of [one, done]) t.dispose();
    scalars.dispose();
  }

  #update(
    group: readonly Target[],
    { lr, scale, skip }: { lr: Tensor; scale: Tensor; skip: Tensor },
    weightDecay: number,
  ): void {
    const [beta1, beta2] = this.betas;
    adamw(
      lr,
      this.#step!,
      scale,
      skip,
      group.map(({ value }) => value),
      group.map(({ grad }) => grad),
      group.map(({ path, value }) => this.#means.at(path, value)),
      group.map(({ path, value }) => this.#squares.at(path, value)),
      { beta1, beta2, eps: this.eps, weightDecay },
    );
  }

  state(): Map<string, Tensor> {
    if (this.#step === undefined) return new Map();
    return new Map([["step", this.#step], ...this.#means.state(), ...this.#squares.state()]);
  }

  load(state: ReadonlyMap<string, Tensor>): void {
    const [means, squares] = readSlots(
      "AdamW",
      this.#model,
      state,
      [this.#means, this.#squares],
      state.size === 0 ? [] : ["step"],
    );
    this.#means.replace(means!);
    this.#squares.replace(squares!);
    this.#step?.dispose();
    const step = state.get("step");
    this.#step = step && keep(step);
  }
}
