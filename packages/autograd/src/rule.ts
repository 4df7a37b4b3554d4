import type { DType, OpName, OpTable, Shape, Tensor } from "@openelm/tensor";

/** Shape and dtype of a tensor whose values a rule does not need. */
export interface Spec {
  readonly shape: Shape;
  readonly dtype: DType;
}

type InputsOf<K extends OpName> = OpTable[K]["inputs"];
type OutputsOf<K extends OpName> = OpTable[K]["outputs"];

type SpecOf<T> = T extends readonly Tensor[] ? readonly Spec[] : T extends Tensor ? Spec : Spec | null;
type GradOf<T> = T extends readonly Tensor[] ? readonly (Tensor | null)[] : Tensor | null;
type WantOf<T> = T extends readonly Tensor[] ? readonly boolean[] : boolean;

/** Which inputs need a gradient. */
export type Wants<K extends OpName> = { readonly [N in keyof InputsOf<K>]: WantOf<InputsOf<K>[N]> };

/** What a rule gets to see of the call whose gradient it computes. */
export interface RuleContext<K extends OpName> {
  /** Inputs by name; only those that the rule saves have values. */
  readonly inputs: InputsOf<K>;
  /** Outputs by name, under the same condition. */
  readonly outputs: OutputsOf<K>;
  readonly attrs: OpTable[K]["attrs"];
  /** Shape and dtype of every input. */
  readonly specs: { readonly [N in keyof InputsOf<K>]: SpecOf<InputsOf<K>[N]> };
  /** Cotangents of the outputs; absent where nothing flows back. */
  readonly grads: { readonly [N in keyof OutputsOf<K>]?: Tensor };
  /** The cotangent of the first output, for ops with one. */
  readonly grad: Tensor;
  readonly wants: Wants<K>;
}

/** Gradients of the inputs by name; missing ones do not exist. */
export type InputGrads<K extends OpName> = { readonly [N in keyof InputsOf<K>]?: GradOf<InputsOf<K>[N]> };

/** Names of inputs and outputs; those that are not needed may be `false`. */
export type SavedNames<K extends OpName> = readonly (keyof InputsOf<K> | keyof OutputsOf<K> | false)[];

/**
 * The gradient of an op.
 *
 * A fused op's `vjp` calls its backward kernel; `reference` is then the same function in plain ops, from which tests
 * derive the gradient a second way, and which stands in when a gradient is itself differentiated.
 */
export interface Rule<K extends OpName> {
  /** Inputs and outputs whose values `vjp` needs, given what it is asked for; the rest is freed early. */
  readonly saves?: SavedNames<K> | ((wants: Wants<K>) => SavedNames<K>);
  vjp(context: RuleContext<K>): InputGrads<K>;
  reference?(inputs: InputsOf<K>, attrs: OpTable[K]["attrs"]): Partial<OutputsOf<K>>;
}

/** An op without a gradient, and why. */
export interface NotDifferentiable {
  readonly reason: string;
}

/** Says that an op has no gradient: its outputs are constants to every tape. */
export const notDifferentiable = (reason: string): NotDifferentiable => ({ reason });

/** Rules of some ops; a file of `rules/` exports one. */
export type Rules<K extends OpName = OpName> = { readonly [N in K]: Rule<N> | NotDifferentiable };
