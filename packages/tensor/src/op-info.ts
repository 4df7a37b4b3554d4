/** One input of an op, as the funnel sees it. */
export interface InputInfo {
  readonly name: string;
  readonly arity: "one" | "optional" | "list";
  /** The op writes into it. */
  readonly mutates?: boolean;
  /** Ids, positions and masks: never promoted, never differentiated; plain numbers become i32. */
  readonly index?: boolean;
}

export interface AttrInfo {
  readonly name: string;
  readonly kind: "f64" | "int" | "bool" | "ints" | "axis" | "axes" | "dtype" | "choice";
  /** May be absent, which the op understands. */
  readonly optional?: boolean;
  readonly choices?: readonly string[];
}

export interface OutputInfo {
  readonly name: string;
  /** Computed only when a gradient rule wants it. */
  readonly saved?: boolean;
}

interface OpDefinition {
  /** Position in the table of the native core. */
  readonly index: number;
  readonly name: string;
  readonly inputs: readonly InputInfo[];
  readonly attrs: readonly AttrInfo[];
  readonly outputs: readonly OutputInfo[];
  readonly promotion?: "common" | "float";
  readonly autocast?: "lower";
  readonly differentiable?: false;
  /** Its result may share storage with its input. */
  readonly view?: boolean;
}

/** What the funnel knows of an op. */
export interface OpInfo extends OpDefinition {
  /** Bit i: output i is public. */
  readonly publicMask: number;
  /** How many inputs are not lists. */
  readonly fixed: number;
  /** Some input holds indices, which may come in any integer dtype. */
  readonly takesIndices: boolean;
}

/** @internal */
export function op(definition: OpDefinition): OpInfo {
  const publicMask = definition.outputs.reduce(
    (mask, output, i) => (output.saved ? mask : mask | (1 << i)),
    0,
  );
  return {
    ...definition,
    publicMask,
    fixed: definition.inputs.filter(({ arity }) => arity !== "list").length,
    takesIndices: definition.inputs.some(({ index }) => index === true),
  };
}

/** The schema entry of the tensor at `position` of a call with `total` tensors. */
export function inputAt(op: OpInfo, position: number, total: number): InputInfo {
  if (position < op.fixed) return op.inputs[position]!;
  const length = Math.max((total - op.fixed) / Math.max(op.inputs.length - op.fixed, 1), 1);
  return op.inputs[Math.min(op.fixed + Math.floor((position - op.fixed) / length), op.inputs.length - 1)]!;
}

/** A value of an attribute as callers write it. */
export type AttrValue = number | boolean | string | readonly number[] | undefined;
