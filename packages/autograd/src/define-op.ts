import { internal, type Tensor, UsageError } from "@openelm/tensor";
import { differentiate } from "./record.js";
import { Held, isRecorded, Tape, untaped } from "./tape.js";

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

/** A function that {@link defineOp} made, with what it was made from. */
export interface DefinedOp<In extends readonly Tensor[], Out extends readonly Tensor[]> {
  (...inputs: In): Out;
  readonly definition: OpDefinition<In, Out>;
}

/**
 * A function with a gradient of its own, of the same standing as the ops of the table.
 *
 * `opcheck` of `@openelm/testing` checks one.
 *
 * @example
 * ```ts
 * const clippedExp = defineOp({
 *   name: "clipped_exp",
 *   forward: (x: Tensor) => [x.minimum(10).exp()] as const,
 *   vjp: ({ inputs: [x], outputs: [y], grads: [grad] }) => [where(x.lt(10), grad!.mul(y), 0)],
 * });
 * const [y] = clippedExp(tensor([1, 2]));
 * ```
 */
export function defineOp<In extends readonly Tensor[], Out extends readonly Tensor[]>(
  definition: OpDefinition<In, Out>,
): DefinedOp<In, Out> {
  const run = (...inputs: In): Out => {
    const ids = inputs.map(({ _live }) => _live);
    const outputs = untaped(() =>
      // An output that is an input gets a number of its own, by which tapes tell it from that input.
      definition.forward(...inputs).map((y) => (ids.includes(y._live) ? internal.view(y, y.shape) : y)),
    ) as readonly Tensor[] as Out;
    for (const tape of Tape.recording()) note(tape, definition, inputs, outputs);
    return outputs;
  };
  return Object.assign(run, { definition });
}

function note<In extends readonly Tensor[], Out extends readonly Tensor[]>(
  tape: Tape,
  { name, vjp, reference }: OpDefinition<In, Out>,
  inputs: In,
  outputs: Out,
): void {
  const wants = inputs.map((input) => tape.tracks(input));
  if (!wants.some(Boolean)) return;
  const held = new Held();
  const own = <T extends readonly Tensor[]>(tensors: T): T =>
    tensors.map((tensor) => held.add(tensor)) as never;
  const [savedInputs, savedOutputs] = [own(inputs), own(outputs)];
  tape.push({
    name,
    inputs: inputs.map(({ _id }, i) => (wants[i] ? _id : null)),
    outputs: outputs.map(({ _id }) => _id),
    backward: (grads) => {
      if (reference !== undefined && isRecorded([...savedInputs, ...grads])) {
        return differentiate(() => numbered(reference(...savedInputs)), savedInputs, numbered(grads));
      }
      const results = vjp({ inputs: savedInputs, outputs: savedOutputs, grads, wants });
      checkGradients(name, inputs, results, wants);
      return results;
    },
    dispose: () => held.dispose(),
  });
}

const numbered = <T>(items: readonly T[]): Record<string, T> => Object.fromEntries(items.entries());

/** A gradient of another shape would spread through a broadcast, far from its cause. */
function checkGradients(
  name: string,
  inputs: readonly Tensor[],
  grads: readonly (Tensor | null)[],
  wants: readonly boolean[],
): void {
  if (grads.length !== inputs.length) {
    throw new UsageError(
      `${name}: vjp must return a gradient or null for each of ${inputs.length} inputs, got ${grads.length}`,
    );
  }
  grads.forEach((grad, i) => {
    const { shape } = inputs[i]!;
    if (grad == null || !wants[i] || grad.shape.join() === shape.join()) return;
    throw new UsageError(
      `${name}: the gradient of input ${i} must have its shape [${shape.join(", ")}], got [${grad.shape.join(", ")}]`,
    );
  });
}
