import { intercept, refuseAsync, scope, type Tensor } from "@openelm/tensor";
import { leavesOf } from "./leaves.js";
import { Tape } from "./tape.js";

/** Something whose random state can be taken and put back, such as a `Generator`. */
interface HasState {
  state: unknown;
}

/**
 * A function like `f` whose intermediate values are not kept for the gradient but computed again when it is pulled.
 *
 * Memory falls from all values inside `f` to its inputs, for one more forward computation (Chen et al., 2016,
 * arXiv:1604.06174). `generators` are put back to their state at entry for the second computation, so that dropout
 * repeats itself.
 *
 * Gradients flow to the tensors among the arguments and to those in `parameters`, such as a module that `f` uses.
 */
export function checkpoint<Args extends readonly Tensor[]>(
  f: (...args: Args) => Tensor,
  { parameters, generators = [] }: { readonly parameters?: unknown; readonly generators?: readonly HasState[] } = {},
): (...args: Args) => Tensor {
  return (...args) => {
    const before = generators.map(({ state }) => state);
    const output = intercept(null, () =>
      scope(() => {
        const result = f(...args);
        refuseAsync(result, "checkpoint");
        return result;
      }),
    );
    const own = parameters === undefined ? [] : leavesOf(parameters, "parameters").tensors;
    const inputs = [...args, ...own];
    const node = {
      name: "checkpoint",
      inputs,
      outputs: [output],
      saved: inputs,
      backward: (grads: readonly (Tensor | null)[], saved: readonly Tensor[]): (Tensor | null)[] => {
        const after = generators.map(({ state }) => state);
        generators.forEach((generator, i) => {
          generator.state = before[i];
        });
        const tape = new Tape();
        for (const tensor of saved) tape.watch(tensor);
        const again = tape.record(() => f(...(saved.slice(0, args.length) as readonly Tensor[] as Args)));
        generators.forEach((generator, i) => {
          generator.state = after[i];
        });
        return tape.pull(
          [again],
          [grads[0]!],
          saved.map(({ _id }) => _id),
        );
      },
    };
    for (const tape of Tape.recording()) tape.add(node);
    return output;
  };
}
