import type { Module } from "@openelm/nn";
import { defaultGenerator, type Generator, type GeneratorState, keep, type Tensor } from "@openelm/tensor";
import type { Optimizer } from "../optim/optimizer.js";
import type { RunState } from "./state.js";
import type { Snapshot } from "./store.js";

/**
 * Copies of all weights and of the optimizer's state as they are now, while training goes on.
 *
 * The copies are commands in the device's queue; nobody waits for them here.
 */
export function takeSnapshot(model: Module, optimizer: Optimizer, state: RunState): Snapshot & Disposable {
  const weights = copies(
    Array.from(model.namedParameters(), ([path, parameter]) => [path, parameter.value] as const),
  );
  const moments = copies(optimizer.state());
  return {
    weights,
    optimizer: moments,
    state,
    [Symbol.dispose]() {
      for (const tensor of [...weights.values(), ...moments.values()]) tensor.dispose();
    },
  };
}

const copies = (tensors: Iterable<readonly [string, Tensor]>): Map<string, Tensor> =>
  new Map(Array.from(tensors, ([name, tensor]) => [name, keep(tensor.copy())]));

/** Where all generators of a run stand; `default` is the one of ops that are given none. */
export function generatorStates(
  generators: Readonly<Record<string, Generator>>,
): Record<string, GeneratorState> {
  const entries = Object.entries({ default: defaultGenerator(), ...generators });
  return Object.fromEntries(entries.map(([name, { state }]) => [name, state]));
}

export function restoreGenerators(
  generators: Readonly<Record<string, Generator>>,
  states: Readonly<Record<string, GeneratorState>>,
): void {
  for (const [name, generator] of Object.entries({ default: defaultGenerator(), ...generators })) {
    const state = states[name];
    if (state !== undefined) generator.state = state;
  }
}

/** Puts the tensors of a checkpoint into the model and the optimizer, on the model's devices. */
export function applyTensors(
  model: Module,
  optimizer: Optimizer,
  {
    weights,
    optimizer: moments,
  }: { readonly weights: ReadonlyMap<string, Tensor>; readonly optimizer: ReadonlyMap<string, Tensor> },
): void {
  const parameters = new Map(model.namedParameters());
  const { device } = model.parameters()[0]!;
  const there = (tensor: Tensor, target = device): Tensor => keep(tensor.to({ device: target }));
  // The optimizer checks before it changes anything, so it comes first.
  optimizer.load(new Map(Array.from(moments, ([name, tensor]) => [name, there(tensor)])));
  for (const [path, tensor] of weights) {
    const parameter = parameters.get(path);
    if (parameter !== undefined) parameter.value = there(tensor, parameter.device);
  }
}
