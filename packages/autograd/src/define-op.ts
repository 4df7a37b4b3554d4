import { intercept, type Tensor } from "@openelm/tensor";
import { activeTape, Tape } from "./tape.js";

/** An op of a user's own. */
export interface OpDefinition<In extends readonly Tensor[], Out extends readonly Tensor[]> {
  readonly name: string;
  /** Computes the outputs, from ops of any kind; none of them is recorded. */
  forward(...inputs: In): Out;
  /** Gradients of the inputs; `null` where there is none. */
  vjp(context: {
    readonly inputs: In;
    readonly outputs: Out;
    /** Cotangents of the outputs; `null` where nothing flows back. */
    readonly grads: readonly (Tensor | null)[];
    readonly wants: readonly boolean[];
  }): readonly (Tensor | null)[];
  /** The same function in plain ops: checks are derived from it, and gradients of gradients. */
  reference?(...inputs: In): Out;
}

/**
 * A function with a gradient of its own, of the same standing as the ops of the table.
 *
 * @example
 * ```ts
 * const clippedExp = defineOp({
 *   name: "clipped_exp",
 *   forward: (x: Tensor) => [x.minimum(10).exp()] as const,
 *   vjp: ({ outputs: [y], grads: [grad] }) => [grad!.mul(y)],
 * });
 * const [y] = clippedExp(tensor([1, 2]));
 * ```
 */
export function defineOp<In extends readonly Tensor[], Out extends readonly Tensor[]>(
  definition: OpDefinition<In, Out>,
): (...inputs: In) => Out {
  const { name, forward, vjp, reference } = definition;
  return (...inputs) => {
    const outputs = intercept(null, () => forward(...inputs));
    const node = {
      name,
      inputs,
      outputs,
      saved: [...inputs, ...outputs],
      backward: (grads: readonly (Tensor | null)[], saved: readonly Tensor[], wants: readonly boolean[]) => {
        const values = saved.slice(0, inputs.length) as readonly Tensor[] as In;
        if (activeTape() !== null && reference !== undefined) return viaReference(reference, values, grads);
        return vjp({ inputs: values, outputs: saved.slice(inputs.length) as readonly Tensor[] as Out, grads, wants });
      },
    };
    for (const tape of Tape.recording()) tape.add(node);
    return outputs;
  };
}

function viaReference<In extends readonly Tensor[]>(
  reference: (...inputs: In) => readonly Tensor[],
  inputs: In,
  grads: readonly (Tensor | null)[],
): (Tensor | null)[] {
  const tape = new Tape();
  for (const input of inputs) tape.watch(input);
  const outputs = tape.record(() => reference(...inputs));
  const flowing = outputs.map((_, i) => i).filter((i) => grads[i] != null);
  return tape.pull(
    flowing.map((i) => outputs[i]!),
    flowing.map((i) => grads[i]!),
    inputs.map(({ _id }) => _id),
  );
}
