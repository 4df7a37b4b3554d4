import {
  autocast,
  copy,
  currentInterceptor,
  type DType,
  type Interceptor,
  intercept,
  scope,
  type Tensor,
} from "@openelm/tensor";
import { Cotangents } from "./cotangents.js";

/** One call that a gradient flows through. */
export interface Node {
  readonly name: string;
  /** Keys of the inputs; `null` where nothing flows. */
  readonly inputs: readonly (number | null)[];
  readonly outputs: readonly (number | null)[];
  /** Gradients of the inputs from those of the outputs. */
  backward(grads: readonly (Tensor | null)[]): readonly (Tensor | null | undefined)[];
  /** Gives back what the node held. */
  dispose(): void;
}

/** A tensor that a gradient is wanted for. */
export interface Leaf {
  readonly key: number;
  readonly dtype: DType;
}

let active: Tape | null = null;

/** Runs `fn` while no tape records. */
export function untaped<T>(fn: () => T): T {
  const before = active;
  active = null;
  try {
    return intercept(null, fn);
  } finally {
    active = before;
  }
}

/** Whether a tape that records now depends on one of the tensors. */
export function isRecorded(tensors: Iterable<Tensor | null | undefined>): boolean {
  const list = [...tensors];
  for (const tape of Tape.recording()) if (list.some((tensor) => tape.tracks(tensor))) return true;
  return false;
}

/**
 * Holds the calls that depend on watched tensors and runs them backwards.
 *
 * Tensors are told apart by their number in the core, which is never used twice: views, aliases and tied parameters
 * need no care.
 */
export class Tape {
  readonly #outer: Tape | null = active;
  #nodes: Node[] = [];
  /** Tensors that a gradient flows to. */
  readonly #tracked = new Set<number>();

  /** Another tape recorded when this one was made: what this one computes may itself be differentiated. */
  get isInner(): boolean {
    return this.#outer !== null;
  }

  watch(tensor: Tensor): void {
    this.#tracked.add(tensor._id);
  }

  tracks(tensor: Tensor | null | undefined): boolean {
    return tensor != null && this.#tracked.has(tensor._id);
  }

  /** Runs `fn` with this tape as the innermost one that records. */
  run<T>(fn: () => T): T {
    const before = active;
    active = this;
    try {
      return fn();
    } finally {
      active = before;
    }
  }

  /** Every tape that records now, innermost first. */
  static *recording(): Iterable<Tape> {
    for (let tape = active; tape !== null; tape = tape.#outer) yield tape;
  }

  push(node: Node): void {
    for (const output of node.outputs) if (output !== null) this.#tracked.add(output);
    this.#nodes.push(node);
  }

  /**
   * Gradients of `leaves` in their dtypes, from the cotangents of `outputs`; `null` where nothing flows.
   *
   * Nodes go one by one from the last; what a node held is given back as soon as it is done, unless `retain`. With
   * `own` each gradient has memory of its own, so that it may be changed in place.
   */
  pull(
    outputs: readonly number[],
    cotangents: readonly Tensor[],
    leaves: readonly Leaf[],
    { retain = false, own = false }: { readonly retain?: boolean; readonly own?: boolean } = {},
  ): (Tensor | null)[] {
    // What is computed here, and whether it looks at the memory of something else.
    const made = new Map<number, boolean>();
    const pulled = (): (Tensor | null)[] => {
      const grads = new Cotangents((tensor) => made.has(tensor._id));
      outputs.forEach((key, i) => {
        if (this.#tracked.has(key)) grads.add(key, cotangents[i]!);
      });
      this.#run(grads, new Set(leaves.map(({ key }) => key)), retain);
      const given = new Set<number>();
      return leaves.map(({ key, dtype }) => {
        const grad = grads.get(key)?.to(dtype);
        if (grad === undefined || !own) return grad ?? null;
        const result = made.get(grad._id) === false && !given.has(grad._id) ? grad : copy(grad);
        given.add(result._id);
        return result;
      });
    };
    // Dtypes were decided on the way forward: a rule must not be lowered again.
    return intercept(noteTo(made), () => autocast<(Tensor | null)[]>("off", pulled));
  }

  #run(grads: Cotangents, kept: ReadonlySet<number>, retain: boolean): void {
    for (const node of this.#nodes.toReversed()) {
      const incoming = node.outputs.map((key) => (key === null ? null : (grads.get(key) ?? null)));
      if (incoming.some((grad) => grad !== null)) {
        scope(() => {
          const results = node.backward(incoming);
          return node.inputs.flatMap((key, i) => {
            const grad = results[i];
            return key === null || grad == null ? [] : [grads.add(key, grad)];
          });
        });
        for (const key of node.outputs) if (key !== null && !kept.has(key)) grads.delete(key);
      }
      if (!retain) node.dispose();
    }
    if (!retain) this.#nodes = [];
  }

  /** Gives back all that the tape holds. */
  dispose(): void {
    for (const node of this.#nodes) node.dispose();
    this.#nodes = [];
  }
}

/** Notes every tensor that a call makes, beside whoever else listens. */
function noteTo(made: Map<number, boolean>): Interceptor {
  const outer = currentInterceptor();
  return (op, inputs, attrs, execute) => {
    const outputs = outer === null ? execute(op.publicMask) : outer(op, inputs, attrs, execute);
    for (const output of outputs) if (output !== null) made.set(output._id, op.view === true);
    return outputs;
  };
}

/** References that a node owns, outside of every scope; their storages must not change until they are given back. */
export class Held {
  readonly #tensors: Tensor[] = [];

  add(tensor: Tensor): Tensor {
    const alias = tensor._hold();
    this.#tensors.push(alias);
    return alias;
  }

  dispose(): void {
    for (const tensor of this.#tensors) tensor._unhold();
  }
}
