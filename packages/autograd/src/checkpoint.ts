import {
  autocast,
  currentAutocast,
  defaultGenerator,
  refuseAsync,
  scope,
  type Tensor,
} from "@openelm/tensor";
import { leavesOf } from "./leaves.js";
import { differentiate } from "./record.js";
import { Held, Tape, untaped } from "./tape.js";

/** Something whose random state can be taken and put back, such as a `Generator`. */
interface HasState {
  state: unknown;
}

/**
 * A function like `f` whose intermediate values are not kept for the gradient but computed again when it is pulled.
 *
 * Memory falls from all values inside `f` to its inputs, for one more forward computation (Chen et al., 2016,
 * arXiv:1604.06174). The default generator and `generators` are put back to their state at entry for the second
 * computation, so that dropout repeats itself.
 *
 * Gradients flow to the tensors among the arguments and to those in `parameters`, such as a module that `f` uses.
 *
 * @example
 * ```ts
 * const block = checkpoint((x: Tensor) => layer.forward(x), { parameters: layer });
 * const y = block(x);
 * ```
 */
export function checkpoint<Args extends readonly Tensor[]>(
  f: (...args: Args) => Tensor,
  {
    parameters,
    generators = [],
  }: { readonly parameters?: unknown; readonly generators?: readonly HasState[] } = {},
): (...args: Args) => Tensor {
  return (...args) => {
    const before = statesOf(generators);
    const precision = currentAutocast();
    const output = untaped(() =>
      scope(() => {
        const result = f(...args);
        refuseAsync(result, "checkpoint");
        return result;
      }),
    );
    const own = parameters === undefined ? [] : leavesOf(parameters, "parameters").tensors;
    const again = (saved: readonly Tensor[], grads: readonly (Tensor | null)[]): (Tensor | null)[] => {
      const after = statesOf(generators);
      const recompute = (): { output: Tensor } => {
        restore(generators, before);
        try {
          return autocast(precision, () => ({
            output: f(...(saved.slice(0, args.length) as readonly Tensor[] as Args)),
          }));
        } finally {
          restore(generators, after);
        }
      };
      return differentiate(recompute, saved, { output: grads[0] });
    };
    for (const tape of Tape.recording()) note(tape, [...args, ...own], output, again);
    return output;
  };
}

const withDefault = (generators: readonly HasState[]): HasState[] => [
  defaultGenerator() as HasState,
  ...generators,
];

const statesOf = (generators: readonly HasState[]): unknown[] =>
  withDefault(generators).map(({ state }) => state);

function restore(generators: readonly HasState[], states: readonly unknown[]): void {
  withDefault(generators).forEach((generator, i) => {
    generator.state = states[i];
  });
}

function note(
  tape: Tape,
  inputs: readonly Tensor[],
  output: Tensor,
  again: (saved: readonly Tensor[], grads: readonly (Tensor | null)[]) => (Tensor | null)[],
): void {
  if (!inputs.some((input) => tape.tracks(input))) return;
  const held = new Held();
  const saved = inputs.map((input) => held.add(input));
  tape.push({
    name: "checkpoint",
    inputs: inputs.map((input) => (tape.tracks(input) ? input._id : null)),
    outputs: [output._id],
    backward: (grads) => again(saved, grads),
    dispose: () => held.dispose(),
  });
}
