import {
  call,
  DTYPE_INFO,
  type DType,
  Generator,
  inputAt,
  OPS,
  type OpName,
  type OpTable,
  randint,
  Tensor,
  tensor,
  uniform,
} from "@openelm/tensor";
import { byName } from "../src/op-names.js";

/** How an input is made. */
export type Fill = (seed: number) => Tensor;

type FillOf<T> = T extends readonly Tensor[] ? readonly Fill[] : T extends Tensor ? Fill : Fill | null;

/** One call of an op: its inputs and attributes, and what of it is differentiated. */
export interface Sample<K extends OpName> {
  readonly inputs: { readonly [N in keyof OpTable[K]["inputs"]]: FillOf<OpTable[K]["inputs"][N]> };
  readonly attrs: OpTable[K]["attrs"];
  /** Outputs that have cotangents; by default all public floats. */
  readonly outputs?: readonly (keyof OpTable[K]["outputs"])[];
  /** Inputs that have gradients; by default all floats. */
  readonly wrt?: readonly (keyof OpTable[K]["inputs"])[];
  /** Whether the op takes inputs of any strides; `false` for the one that refuses them. */
  readonly strided?: boolean;
}

interface Range {
  readonly low?: number;
  readonly high?: number;
  /** Keeps the values this far from 0, where a function has a corner. */
  readonly away?: number | undefined;
}

/** Random f64. */
export const floats =
  (shape: readonly number[], { low = -2, high = 2, away = 0 }: Range = {}): Fill =>
  (seed) => {
    const x = uniform(shape, { low, high, dtype: "f64", generator: new Generator(seed) });
    if (away === 0) return x;
    const moved = Float64Array.from(x.dataSync(), (value) => value + Math.sign(value) * away);
    return tensor(moved, { shape });
  };

/** Random whole numbers of `[low, high)`. */
export const ints =
  (shape: readonly number[], low: number, high: number, dtype: DType = "i32"): Fill =>
  (seed) =>
    randint(shape, low, high, { generator: new Generator(seed) }).to(dtype);

export const values =
  (data: readonly number[] | readonly (readonly number[])[]): Fill =>
  () =>
    tensor(data as readonly number[], { dtype: "f64" });

/** A sample with its tensors, as a function of those that are differentiated. */
export interface Prepared {
  readonly inputs: readonly Tensor[];
  call(...inputs: readonly Tensor[]): readonly Tensor[];
  /** The same by the rule's reference. */
  viaReference(
    reference: (inputs: never, attrs: never) => object,
  ): (...inputs: readonly Tensor[]) => readonly Tensor[];
}

/** Makes the tensors of a sample of any op. */
export function prepare(name: OpName, sample: Sample<OpName>, seed: number): Prepared {
  const op = OPS.get(name)!;
  const fills = op.inputs.flatMap(
    (input) => (sample.inputs as Record<string, Fill | null | readonly Fill[]>)[input.name]!,
  );
  const all = fills.map((fill, i) => (fill === null ? null : fill(seed + 100 * i)));
  const wrt = sample.wrt as readonly string[] | undefined;
  const positions = all.flatMap((tensor, i) => {
    const input = inputAt(op, i, all.length);
    const isFloat = tensor instanceof Tensor && DTYPE_INFO[tensor.dtype].isFloat;
    return isFloat && !input.index && (wrt === undefined || wrt.includes(input.name)) ? [i] : [];
  });
  const attrs = sample.attrs as Record<string, never>;
  const filled = (inputs: readonly Tensor[]): (Tensor | null)[] =>
    all.map((tensor, i) => (positions.includes(i) ? inputs[positions.indexOf(i)]! : tensor));
  const wanted = sample.outputs as readonly string[] | undefined;
  const isWanted = (output: string, tensor: Tensor | null | undefined): tensor is Tensor =>
    tensor != null && DTYPE_INFO[tensor.dtype].isFloat && (wanted === undefined || wanted.includes(output));
  return {
    inputs: positions.map((i) => all[i]!),
    call: (...inputs) =>
      call(
        op,
        filled(inputs),
        op.attrs.map((attr) => attrs[attr.name]),
      ).filter((tensor, i) => isWanted(op.outputs[i]!.name, tensor)),
    viaReference:
      (reference) =>
      (...inputs) => {
        const results = reference(byName(op, filled(inputs)) as never, attrs as never) as Record<
          string,
          Tensor
        >;
        return op.outputs
          .map((output) => results[output.name])
          .filter((tensor, i) => isWanted(op.outputs[i]!.name, tensor)) as Tensor[];
      },
  };
}
