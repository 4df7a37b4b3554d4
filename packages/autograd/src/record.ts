//! What tapes note of each call, and how its rule is applied later.
import {
  type AttrValue,
  DTYPE_INFO,
  type Inputs,
  type Interceptor,
  inputAt,
  intercept,
  OpError,
  type OpInfo,
  type Tensor,
  UsageError,
} from "@openelm/tensor";
import { RULES } from "./generated/rules.js";
import { byName, positional } from "./op-names.js";
import type { NotDifferentiable, Spec } from "./rule.js";
import { Held, isRecorded, Tape } from "./tape.js";

/** A rule where the op is not known to the type system. */
interface AnyRule {
  readonly saves?: readonly (string | false)[] | ((wants: object) => readonly (string | false)[]);
  vjp(context: AnyContext): object;
  reference?(inputs: object, attrs: object): object;
}

interface AnyContext {
  readonly inputs: Readonly<Record<string, Tensor | null | readonly (Tensor | null)[]>>;
  readonly specs: Readonly<Record<string, Spec | null | readonly (Spec | null)[]>>;
  readonly wants: Readonly<Record<string, boolean | readonly boolean[]>>;
  readonly outputs: Readonly<Record<string, Tensor | null | undefined>>;
  readonly grads: Readonly<Record<string, Tensor | undefined>>;
  readonly grad: Tensor;
  readonly attrs: object;
}

/** Runs `fn` while `tape`, and those around it, record. */
export const record = <T>(tape: Tape, fn: () => T): T => tape.run(() => intercept(listen, fn));

/** Sees every call while some tape records. */
const listen: Interceptor = (op, inputs, attrs, execute) => {
  const tapes = [...Tape.recording()].filter((tape) => inputs.some((input) => tape.tracks(input)));
  if (tapes.length === 0) return execute(op.publicMask);
  refuseMutation(op, inputs, tapes);
  const rule = ruleOf(op);
  if (rule === undefined) return execute(op.publicMask);
  const calls = tapes.map((tape) => {
    const wants = wantsOf(op, inputs, tape);
    return { tape, wants, saves: savedNames(rule, byName(op, wants)) };
  });
  const isSaved = (name: string): boolean => calls.some(({ saves }) => saves.has(name));
  const wanted = op.outputs.reduce(
    (mask, { name }, i) => (isSaved(name) ? mask | (1 << i) : mask),
    op.publicMask,
  );
  const outputs = execute(wanted);
  for (const { tape, wants, saves } of calls) {
    if (wants.some(Boolean)) addCall(tape, { op, rule, inputs, attrs, outputs, wants, saves });
  }
  return outputs;
};

interface Call {
  readonly op: OpInfo;
  readonly rule: AnyRule;
  readonly inputs: Inputs;
  readonly attrs: readonly AttrValue[];
  readonly outputs: readonly (Tensor | null)[];
  readonly wants: readonly boolean[];
  readonly saves: ReadonlySet<string>;
}

function addCall(tape: Tape, { op, rule, inputs, attrs, outputs, wants, saves }: Call): void {
  const flowing = outputs.map((output, i) =>
    output !== null && op.outputs[i]!.saved !== true && DTYPE_INFO[output.dtype].isFloat ? output._id : null,
  );
  if (flowing.every((key) => key === null)) return;
  const total = inputs.length;
  const held = new Held();
  // A rule that may itself be differentiated works on its reference, which wants all inputs.
  const all = tape.isInner && rule.reference !== undefined;
  const hold = (tensor: Tensor | null, name: string, always: boolean): Tensor | null =>
    tensor !== null && (always || saves.has(name)) ? held.add(tensor) : null;
  const savedInputs = inputs.map((input, i) => hold(input, inputAt(op, i, total).name, all));
  const savedOutputs = outputs.map((output, i) => hold(output, op.outputs[i]!.name, false));
  const specs = inputs.map((input): Spec | null => input && { shape: input.shape, dtype: input.dtype });
  const outputNames = op.outputs.map(({ name }) => name);
  tape.push({
    name: op.name,
    inputs: inputs.map((input, i) => (wants[i] ? input!._id : null)),
    outputs: flowing,
    backward: (grads) => {
      const context: AnyContext = {
        inputs: byName(op, savedInputs),
        specs: byName(op, specs),
        wants: byName(op, wants),
        attrs: Object.fromEntries(op.attrs.map(({ name }, i) => [name, attrs[i]])),
        outputs: Object.fromEntries(outputNames.map((name, i) => [name, savedOutputs[i]])),
        grads: Object.fromEntries(outputNames.map((name, i) => [name, grads[i] ?? undefined])),
        grad: grads[0]!,
      };
      return positional(op, total, applyRule(op, rule, context));
    },
    dispose: () => held.dispose(),
  });
}

const wantsOf = (op: OpInfo, inputs: Inputs, tape: Tape): boolean[] =>
  inputs.map((input, i) => !inputAt(op, i, inputs.length).index && tape.tracks(input));

function savedNames(rule: AnyRule, wants: object): ReadonlySet<string> {
  const names = typeof rule.saves === "function" ? rule.saves(wants) : (rule.saves ?? []);
  return new Set(names.filter((name) => name !== false));
}

/** A value that is written in place would silently lose its gradient. */
function refuseMutation(op: OpInfo, inputs: Inputs, tapes: readonly Tape[]): void {
  if (!op.inputs.some(({ mutates }) => mutates)) return;
  const flows = inputs.findIndex(
    (input, i) => !inputAt(op, i, inputs.length).index && tapes.some((tape) => tape.tracks(input)),
  );
  if (flows < 0) return;
  const { name } = inputAt(op, flows, inputs.length);
  throw new OpError(
    "NOT_DIFFERENTIABLE",
    op.name,
    `a gradient flows through ${name}, and writing in place has none; ` +
      "use an op that gives a new tensor (where, scatter, concat), or write stopGradient(value)",
  );
}

/** The rule of an op that has a gradient. */
function ruleOf(op: OpInfo): AnyRule | undefined {
  const rule = (RULES as unknown as Readonly<Record<string, AnyRule | NotDifferentiable>>)[op.name];
  if (rule === undefined)
    throw new OpError("NOT_DIFFERENTIABLE", op.name, "no gradient rule is known for this op");
  return "vjp" in rule ? rule : undefined;
}

/** While an outer tape depends on them, gradients must be made of ops that have gradients themselves. */
function applyRule(op: OpInfo, rule: AnyRule, context: AnyContext): object {
  const { inputs, specs, attrs, grads, wants } = context;
  if (rule.reference === undefined) return rule.vjp(context);
  if (!isRecorded([...Object.values(inputs).flat(), ...Object.values(grads)])) return rule.vjp(context);
  const missing = Object.keys(specs).find((name) =>
    [specs[name]].flat().some((spec, i) => spec && !at(inputs[name], i)),
  );
  if (missing !== undefined) {
    throw new UsageError(
      `${op.name}: pull() is differentiated here, but its vjp() was called before this gradient began to record; ` +
        "call vjp() inside the function that is differentiated",
    );
  }
  const leaves = Object.entries(inputs).flatMap(([name, value]) =>
    [value].flat().flatMap((tensor, i) => (tensor && at(wants[name], i) ? [{ name, i, tensor }] : [])),
  );
  const results = differentiate(
    () => rule.reference!(inputs, attrs) as Readonly<Record<string, Tensor>>,
    leaves.map(({ tensor }) => tensor),
    grads,
  );
  const found = (name: string, i: number): Tensor | null =>
    results[leaves.findIndex((leaf) => leaf.name === name && leaf.i === i)] ?? null;
  return Object.fromEntries(
    Object.entries(inputs).map(([name, value]) => [
      name,
      Array.isArray(value) ? value.map((_, i) => found(name, i)) : found(name, 0),
    ]),
  );
}

const at = <T>(value: T | readonly T[] | undefined, i: number): T | undefined =>
  Array.isArray(value) ? (value as readonly T[])[i] : (value as T | undefined);

/**
 * Gradients of `leaves` through what `reference` computes, given cotangents of its results by name.
 *
 * A tensor that stands among them twice has its whole gradient at its first place.
 */
export function differentiate(
  reference: () => Readonly<Record<string, Tensor>>,
  leaves: readonly Tensor[],
  grads: Readonly<Record<string, Tensor | null | undefined>>,
): (Tensor | null)[] {
  const tape = new Tape();
  try {
    for (const leaf of leaves) tape.watch(leaf);
    const outputs = record(tape, reference);
    const flowing = Object.entries(outputs).filter(([name]) => grads[name] != null);
    const found = tape.pull(
      flowing.map(([, output]) => output._id),
      flowing.map(([name]) => grads[name]!),
      leaves.map(({ _id, dtype }) => ({ key: _id, dtype })),
    );
    return found.map((grad, i) =>
      leaves.findIndex(({ _id }) => _id === leaves[i]!._id) === i ? grad : null,
    );
  } finally {
    tape.dispose();
  }
}
