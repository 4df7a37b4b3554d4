import { Gradients } from "@openelm/autograd";
import type { Module, Parameter } from "@openelm/nn";
import {
  type Device,
  FormatError,
  keep,
  OpError,
  ones,
  type Tensor,
  tensor,
  UsageError,
  zeros,
} from "@openelm/tensor";

/** What a step is told beside the gradients. Tensors are f32 scalars on the parameters' device. */
export interface StepOptions {
  /** Default: that of the optimizer. */
  readonly lr?: number | Tensor | undefined;
  /** The gradients are multiplied by it. Default 1. */
  readonly scale?: Tensor | undefined;
  /** Nothing changes where it is not 0. */
  readonly skip?: Tensor | undefined;
}

/** Changes the parameters of a model by their gradients. */
export interface Optimizer {
  /** The learning rate of steps that are given none. */
  lr: number;
  /**
   * Whether a recorded step that is given its learning rate as a tensor may be replayed (`device.capture`): what it
   * remembers are tensors, all made in its first step. Default `false`.
   */
  readonly replayable?: boolean;
  /**
   * One step, in place.
   *
   * Parameters without a gradient stay as they are.
   *
   * @throws UsageError if the model is not the one that the optimizer was made for, or the gradients are not its.
   */
  step(model: Module, grads: Gradients, options?: StepOptions): void;
  /** All that the optimizer remembers, by names for a file. The tensors stay the optimizer's. */
  state(): Map<string, Tensor>;
  /**
   * Goes on from a {@link state}; takes over the tensors.
   *
   * @throws FormatError naming those that do not fit, with nothing changed.
   */
  load(state: ReadonlyMap<string, Tensor>): void;
}

/** Chooses the parameters that weight decay applies to. */
export type DecayRule = (path: string, parameter: Parameter) => boolean;

/** Matrices decay, norm weights and biases do not. */
export const decayMatrices: DecayRule = (_path, { shape }) => shape.length >= 2;

/** A parameter that a step changes. */
export interface Target {
  readonly path: string;
  readonly parameter: Parameter;
  readonly value: Tensor;
  readonly grad: Tensor;
}

/** The parameters that have gradients, checked. */
export function targetsOf(name: string, owner: Module, model: Module, grads: Gradients): Target[] {
  if (model !== owner)
    throw new UsageError(`${name}.step: the optimizer was made for another model; make one for this`);
  if (!(grads instanceof Gradients)) {
    throw new UsageError(
      `${name}.step: grads must be the gradients of a module, as valueAndGrad((model) => …) gives them`,
    );
  }
  const parameters = new Map(model.namedParameters());
  const targets: Target[] = [];
  for (const [path, grad] of grads.entries()) {
    const parameter = parameters.get(path);
    if (parameter === undefined)
      throw new UsageError(`${name}.step: there is a gradient for "${path}", but no such parameter`);
    if (grad === null) continue;
    const { value } = parameter;
    if (grad.shape.join() !== value.shape.join() || grad.dtype !== value.dtype) {
      const what = (t: Tensor): string => `${t.dtype}[${t.shape.join(", ")}]`;
      throw new OpError(
        "SHAPE_MISMATCH",
        name,
        `the gradient of "${path}" must be like it, ${what(value)}, got ${what(grad)}`,
      );
    }
    targets.push({ path, parameter, value, grad });
  }
  return targets;
}

/** f32 scalars of a step on a device; a tensor that the caller gave stays his. */
export function stepScalars(
  where: Device,
  { lr, scale, skip }: { lr: number | Tensor; scale: Tensor | undefined; skip: Tensor | undefined },
): {
  readonly lr: Tensor;
  readonly scale: Tensor;
  readonly skip: Tensor;
  readonly dispose: () => void;
} {
  const made: Tensor[] = [];
  const own = (t: Tensor): Tensor => {
    made.push(t);
    return t;
  };
  const f32 = { dtype: "f32", device: where } as const;
  return {
    // A number crosses as a host value, which a captured step refuses: it would never change again.
    lr: typeof lr === "number" ? own(tensor(lr, f32)) : lr,
    scale: scale ?? own(ones([], f32)),
    skip: skip ?? own(zeros([], f32)),
    dispose: () => {
      for (const t of made) t.dispose();
    },
  };
}

/** Tensors like parameters, by path; zeros at first. */
export class Slots {
  readonly #tensors = new Map<string, Tensor>();
  readonly prefix: string;

  constructor(prefix: string) {
    this.prefix = prefix;
  }

  at(path: string, { shape, dtype, device }: Tensor): Tensor {
    let slot = this.#tensors.get(path);
    if (slot === undefined) {
      slot = keep(zeros(shape, { dtype, device }));
      this.#tensors.set(path, slot);
    }
    return slot;
  }

  *state(): Iterable<[string, Tensor]> {
    for (const [path, slot] of this.#tensors) yield [`${this.prefix}${path}`, slot];
  }

  /** Takes over `tensors`; those before are freed. */
  replace(tensors: ReadonlyMap<string, Tensor>): void {
    for (const slot of this.#tensors.values()) slot.dispose();
    this.#tensors.clear();
    for (const [path, slot] of tensors) this.#tensors.set(path, keep(slot));
  }
}

/**
 * Sorts the tensors of a state by slot and parameter path.
 *
 * @throws FormatError if one is unknown or not like its parameter.
 */
export function readSlots(
  name: string,
  model: Module,
  state: ReadonlyMap<string, Tensor>,
  slots: readonly Slots[],
  others: readonly string[],
): Map<string, Tensor>[] {
  const parameters = new Map(model.namedParameters());
  const found = slots.map(() => new Map<string, Tensor>());
  const problems: string[] = [];
  for (const [key, value] of state) {
    if (others.includes(key)) continue;
    const which = slots.findIndex(({ prefix }) => key.startsWith(prefix));
    const path = which < 0 ? key : key.slice(slots[which]!.prefix.length);
    const parameter = parameters.get(path);
    if (which < 0 || parameter === undefined) problems.push(`${key} belongs to no parameter`);
    else if (parameter.shape.join() !== value.shape.join()) {
      problems.push(
        `${key} has shape [${value.shape.join(", ")}], the parameter [${parameter.shape.join(", ")}]`,
      );
    } else if (value.dtype !== parameter.dtype) {
      problems.push(`${key} is ${value.dtype}, the parameter ${parameter.dtype}`);
    } else found[which]!.set(path, value);
  }
  for (const key of others) {
    const value = state.get(key);
    if (value === undefined) problems.push(`${key} is missing`);
    else if (value.dtype !== "f32" || value.rank !== 0) problems.push(`${key} must be one number of f32`);
  }
  const [first, ...rest] = found;
  for (const other of rest) {
    for (const path of first!.keys())
      if (!other.has(path)) problems.push(`the state of ${path} is incomplete`);
  }
  if (problems.length > 0)
    throw new FormatError(
      `the state does not fit ${name} and the model:\n  ${problems.slice(0, 8).join("\n  ")}`,
    );
  return found;
}
