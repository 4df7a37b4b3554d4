import {
  type AttrValue,
  add,
  type Inputs,
  type Interceptor,
  inputAt,
  intercept,
  OpError,
  type OpInfo,
  scope,
  Tensor,
} from "@openelm/tensor";
import { RULES } from "./generated/rules.js";
import type { NotDifferentiable, Spec } from "./rule.js";

/** One call that a gradient flows through. */
interface Node {
  readonly name: string;
  /** Keys of the inputs; `null` where nothing flows. */
  readonly inputs: readonly (number | null)[];
  readonly outputs: readonly (number | null)[];
  /** Gradients of the inputs from those of the outputs. */
  backward(grads: readonly (Tensor | null)[]): readonly (Tensor | null)[];
  /** Gives back what the node held. */
  dispose(): void;
}

/** A node as a function of any package makes it. @internal */
export interface CustomNode {
  readonly name: string;
  readonly inputs: readonly Tensor[];
  readonly outputs: readonly Tensor[];
  /** Values that `backward` needs; the tape keeps them alive and unchanged. */
  readonly saved: readonly Tensor[];
  backward(
    grads: readonly (Tensor | null)[],
    saved: readonly Tensor[],
    wants: readonly boolean[],
  ): readonly (Tensor | null)[];
}

let active: Tape | null = null;

/** The tape that records now; outer ones record as well. @internal */
export const activeTape = (): Tape | null => active;

/**
 * Records the calls that depend on watched tensors, then runs them backwards.
 *
 * Tensors are told apart by their number in the core, which is never used twice: views, aliases and tied parameters
 * need no care.
 */
export class Tape {
  readonly #outer: Tape | null = active;
  #nodes: Node[] = [];
  /** Tensors that a gradient flows to. */
  readonly #tracked = new Set<number>();
  #pulled = false;

  watch(tensor: Tensor): void {
    this.#tracked.add(tensor._id);
  }

  tracks(tensor: Tensor | null | undefined): boolean {
    return tensor != null && this.#tracked.has(tensor._id);
  }

  /** Runs `fn` while this tape, and those around it, record. */
  record<T>(fn: () => T): T {
    const before = active;
    active = this;
    try {
      return intercept(listen, fn);
    } finally {
      active = before;
    }
  }

  /** Every tape that records now, innermost first. @internal */
  static *recording(): Iterable<Tape> {
    for (let tape = active; tape !== null; tape = tape.#outer) yield tape;
  }

  /** Adds a node if something flows through it. @internal */
  add(node: CustomNode): void {
    const wants = node.inputs.map((input) => this.tracks(input));
    if (!wants.some(Boolean)) return;
    const saved = node.saved.map((tensor) => owned(tensor));
    this.#push({
      name: node.name,
      inputs: node.inputs.map((input, i) => (wants[i] ? input._id : null)),
      outputs: node.outputs.map((output) => output._id),
      backward: (grads) => node.backward(grads, saved, wants),
      dispose: () => saved.forEach(disown),
    });
  }

  /** Adds a call of the table. @internal */
  addCall(op: OpInfo, inputs: Inputs, attrs: readonly AttrValue[], outputs: readonly (Tensor | null)[]): void {
    const rule = ruleOf(op)!;
    const total = inputs.length;
    const wants = inputs.map((input, i) => {
      const { index, mutates } = inputAt(op, i, total);
      return !index && !mutates && this.tracks(input);
    });
    if (!wants.some(Boolean)) return;
    // A rule that may itself be differentiated works on its reference, which wants all inputs.
    const all = this.#outer !== null && rule.reference !== undefined;
    const saves = new Set<string>(rule.saves);
    const held: Tensor[] = [];
    const hold = (tensor: Tensor | null, name: string): Tensor | null => {
      if (tensor === null || !(all || saves.has(name))) return null;
      const alias = owned(tensor);
      held.push(alias);
      return alias;
    };
    const savedInputs = inputs.map((input, i) => hold(input, inputAt(op, i, total).name));
    const savedOutputs = outputs.map((output, i) => hold(output, op.outputs[i]!.name));
    const specs = inputs.map((input): Spec | null => input && { shape: input.shape, dtype: input.dtype });
    this.#push({
      name: op.name,
      inputs: inputs.map((input, i) => (wants[i] ? input!._id : null)),
      outputs: outputs.map((output) => output?._id ?? null),
      backward: (grads) => {
        const context = {
          inputs: byName(op, savedInputs),
          specs: byName(op, specs),
          wants: byName(op, wants),
          attrs: Object.fromEntries(op.attrs.map(({ name }, i) => [name, attrs[i]])),
          outputs: Object.fromEntries(op.outputs.map(({ name }, i) => [name, savedOutputs[i]])),
          grads: Object.fromEntries(op.outputs.map(({ name }, i) => [name, grads[i] ?? undefined])),
          grad: grads[0]!,
        };
        return positional(op, total, applyRule(rule, context as AnyContext));
      },
      dispose: () => held.forEach(disown),
    });
  }

  #push(node: Node): void {
    for (const output of node.outputs) if (output !== null) this.#tracked.add(output);
    this.#nodes.push(node);
  }

  /**
   * Gradients of `leaves`, from those of `outputs`; `null` where nothing flows.
   *
   * Nodes go one by one from the last; what a node held is given back as soon as it is done, unless `retain`.
   */
  pull(
    outputs: readonly Tensor[],
    cotangents: readonly Tensor[],
    leaves: readonly number[],
    { retain = false }: { retain?: boolean } = {},
  ): (Tensor | null)[] {
    const grads = new Cotangents(cotangents);
    const kept = new Set(leaves);
    outputs.forEach((output, i) => {
      if (this.tracks(output)) grads.add(output._id, cotangents[i]!);
    });
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
    return leaves.map((key) => grads.get(key) ?? null);
  }

  /** Gives back all that the tape holds. */
  dispose(): void {
    for (const node of this.#nodes) node.dispose();
    this.#nodes = [];
  }
}

/** Cotangents on their way back; each is freed when the last key that stands for it is done. */
class Cotangents {
  readonly #byKey = new Map<number, Tensor>();
  /** How many keys share a tensor: a sum hands one cotangent to both of its terms. */
  readonly #uses = new Map<Tensor, number>();
  readonly #foreign: ReadonlySet<Tensor>;

  constructor(foreign: readonly Tensor[]) {
    this.#foreign = new Set(foreign);
  }

  get(key: number): Tensor | undefined {
    return this.#byKey.get(key);
  }

  /** Adds `grad` to what has come for `key`, and gives the sum. */
  add(key: number, grad: Tensor): Tensor {
    const before = this.#byKey.get(key);
    // What a scope does not own may be a saved value, which goes with its node.
    const own = grad._scope === null && !this.#foreign.has(grad) ? grad._share() : grad;
    const sum = before === undefined ? own : add(before, own);
    this.#uses.set(sum, (this.#uses.get(sum) ?? 0) + 1);
    this.#byKey.set(key, sum);
    if (before !== undefined) this.#drop(before);
    return sum;
  }

  delete(key: number): void {
    const grad = this.#byKey.get(key);
    this.#byKey.delete(key);
    if (grad !== undefined) this.#drop(grad);
  }

  #drop(grad: Tensor): void {
    const uses = this.#uses.get(grad)! - 1;
    this.#uses.set(grad, uses);
    if (uses > 0) return;
    this.#uses.delete(grad);
    if (!this.#foreign.has(grad)) grad.dispose();
  }
}

/** Sees every call while some tape records. */
const listen: Interceptor = (op, inputs, attrs, execute) => {
  const tapes = [...Tape.recording()].filter((tape) => inputs.some((input) => tape.tracks(input)));
  const rule = tapes.length > 0 ? ruleOf(op) : undefined;
  if (rule === undefined) return execute(op.publicMask);
  const saves = new Set<string>(rule.saves);
  const wanted = op.outputs.reduce((mask, { name }, i) => (saves.has(name) ? mask | (1 << i) : mask), op.publicMask);
  const outputs = execute(wanted);
  for (const tape of tapes) tape.addCall(op, inputs, attrs, outputs);
  return outputs;
};

/** The rule of an op that has a gradient. */
function ruleOf(op: OpInfo): AnyRule | undefined {
  const rule = (RULES as Readonly<Record<string, AnyRule | NotDifferentiable>>)[op.name];
  if (rule === undefined) throw new OpError("NOT_DIFFERENTIABLE", op.name, "no gradient rule is known for this op");
  return "vjp" in rule ? rule : undefined;
}

/** While an outer tape records, gradients must be made of ops that have gradients themselves. */
function applyRule(rule: AnyRule, context: AnyContext): object {
  if (active === null || rule.reference === undefined) return rule.vjp(context as never);
  const { inputs, attrs, grads } = context;
  const leaves = Object.entries(inputs).flatMap(([name, value]) =>
    [value].flat().flatMap((tensor, i) => (tensor === null || !isWanted(context, name, i) ? [] : [{ name, tensor }])),
  );
  const tape = new Tape();
  for (const { tensor } of leaves) tape.watch(tensor);
  const outputs = tape.record(() => rule.reference!(inputs as never, attrs as never)) as Record<string, Tensor>;
  const flowing = Object.entries(outputs).filter(([name]) => grads[name] !== undefined);
  const results = tape.pull(
    flowing.map(([, output]) => output),
    flowing.map(([name]) => grads[name]!),
    leaves.map(({ tensor }) => tensor._id),
  );
  const out: Record<string, Tensor | null | (Tensor | null)[]> = {};
  leaves.forEach(({ name }, i) => {
    if (!Array.isArray(inputs[name])) out[name] = results[i]!;
    else (out[name] ??= [] as (Tensor | null)[]) && (out[name] as (Tensor | null)[]).push(results[i]!);
  });
  return out;
}

/** Rules and contexts where the op is not known to the type system. */
interface AnyRule {
  readonly saves?: readonly string[];
  vjp(context: never): object;
  reference?(inputs: never, attrs: never): object;
}
interface AnyContext {
  readonly inputs: Readonly<Record<string, Tensor | null | readonly Tensor[]>>;
  readonly wants: Readonly<Record<string, boolean | readonly boolean[]>>;
  readonly attrs: object;
  readonly grads: Readonly<Record<string, Tensor | undefined>>;
}

function isWanted({ wants }: AnyContext, name: string, position: number): boolean {
  const wanted = wants[name];
  return Array.isArray(wanted) ? wanted[position] === true : wanted === true;
}

/** Values of the inputs of a call under the names of the schema; lists become arrays. */
function byName<T>(op: OpInfo, values: readonly T[]): Record<string, T | T[]> {
  const out: Record<string, T | T[]> = {};
  values.forEach((value, i) => {
    const { name, arity } = inputAt(op, i, values.length);
    if (arity !== "list") out[name] = value;
    else if (out[name] === undefined) out[name] = [value];
    else (out[name] as T[]).push(value);
  });
  return out;
}

/** The inverse of {@link byName}. */
function positional(op: OpInfo, total: number, grads: object): (Tensor | null)[] {
  const seen = new Map<string, number>();
  return Array.from({ length: total }, (_, i) => {
    const { name, arity } = inputAt(op, i, total);
    const value = (grads as Record<string, Tensor | null | readonly (Tensor | null)[] | undefined>)[name];
    if (arity !== "list") return (value as Tensor | null | undefined) ?? null;
    const at = seen.get(name) ?? 0;
    seen.set(name, at + 1);
    return (value as readonly (Tensor | null)[] | undefined)?.[at] ?? null;
  });
}

/** A reference of the tape's own, outside of every scope; its storage must not change until it is given back. */
function owned(tensor: Tensor): Tensor {
  return tensor._hold();
}

function disown(tensor: Tensor): void {
  tensor._unhold();
}
