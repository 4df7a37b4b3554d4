import { OpError } from "@openelm/native";
import { DTYPE_INFO } from "../dtype.js";
import { broadcastTo, matmul, mul, permute, reshape, sum, take } from "../generated/ops.js";
import { PROMOTION } from "../generated/promotion.js";
import { arange } from "../ranges.js";
import type { CommonDType } from "../result-dtype.js";
import { elements } from "../shape.js";
import type { Shape, Tensor } from "../tensor.js";
import { to } from "../to.js";
import { type Equation, type Labels, parseEinsum } from "./einsum-parse.js";

/** A tensor whose axes have names. */
interface Term {
  readonly x: Tensor;
  readonly labels: Labels;
}

/**
 * Sums of products by the labels of axes: `"bij,bjk->bik"` multiplies batches of matrices.
 *
 * A label in several operands joins their axes, one twice in an operand takes its diagonal, one that the output lacks
 * is summed. `...` stands for axes that broadcast. Without `->` the output has the labels that occur once, in
 * alphabetical order. Operands are contracted from left to right, each pair by one matrix product.
 *
 * Shapes: a label has one size everywhere. Dtypes: all but bool, promoted to the common one; sums of integers are i64.
 *
 * @throws OpError naming the equation, the label and both sizes.
 * @example
 * ```ts
 * einsum("ij,jk->ik", a, b); // a.matmul(b)
 * einsum("ii", a); // the trace
 * einsum("i,j->ij", u, v); // the outer product
 * ```
 */
export function einsum<A extends Tensor>(
  equation: string,
  ...operands: readonly A[]
): Tensor<Shape, CommonDType<A, A>> {
  if (operands.length === 0) throw new OpError("INVALID_ARGUMENT", "einsum", "needs at least one tensor");
  const parsed = parseEinsum(
    equation,
    operands.map(({ shape }) => shape),
  );
  const terms = operands.map((x, i) => spread(diagonals({ x, labels: parsed.inputs[i]! }), parsed));
  let result = terms[0]!;
  for (const [i, next] of terms.slice(1).entries()) {
    const later = new Set([...parsed.output, ...terms.slice(i + 2).flatMap(({ labels }) => labels)]);
    result = contract(
      sumOut(result, union(later, next.labels)),
      sumOut(next, union(later, result.labels)),
      later,
    );
  }
  result = sumOut(result, new Set(parsed.output));
  return ordered(result, parsed.output) as Tensor<Shape, CommonDType<A, A>>;
}

const union = (a: ReadonlySet<string>, b: Labels): Set<string> => new Set([...a, ...b]);

/** Axes of size 1 under an ellipsis, broadcast to the size of their label. */
function spread({ x, labels }: Term, { sizes }: Equation): Term {
  const shape = labels.map((label) => sizes.get(label)!);
  return { x: shape.some((dim, i) => dim !== x.shape[i]) ? broadcastTo(x, shape) : x, labels };
}

/** One axis for a label that an operand has twice: every (n + 1)-th element of the two merged axes. */
function diagonals({ x, labels }: Term): Term {
  const second = labels.findIndex((label, i) => labels.indexOf(label) < i);
  if (second < 0) return { x, labels };
  const label = labels[second]!;
  const first = labels.indexOf(label);
  const rest = labels.map((_, i) => i).filter((i) => i !== first && i !== second);
  const size = x.shape[first]!;
  const outer = rest.map((i) => x.shape[i]!);
  const merged = reshape(permute(x, [...rest, first, second]), [...outer, size * size]);
  const steps = arange(0, size * (size + 1), size + 1, { dtype: "i32", device: x.device });
  return diagonals({ x: take(merged, steps, { axis: -1 }), labels: [...rest.map((i) => labels[i]!), label] });
}

/** The term summed over the labels that nobody needs. */
function sumOut({ x, labels }: Term, needed: ReadonlySet<string>): Term {
  const axis = labels.flatMap((label, i) => (needed.has(label) ? [] : [i]));
  if (axis.length === 0) return { x, labels };
  return { x: sum(x, { axis }), labels: labels.filter((label) => needed.has(label)) };
}

/** The term with its axes in another order. */
function ordered({ x, labels }: Term, wanted: Labels): Tensor {
  return labels.every((label, i) => label === wanted[i])
    ? x
    : permute(
        x,
        wanted.map((label) => labels.indexOf(label)),
      );
}

/** Two terms multiplied and summed over the labels that both have and `later` does not. */
function contract(a: Term, b: Term, later: ReadonlySet<string>): Term {
  const shared = a.labels.filter((label) => b.labels.includes(label));
  const batch = shared.filter((label) => later.has(label));
  const summed = shared.filter((label) => !later.has(label));
  const [rows, columns] = [a, b].map(({ labels }) => labels.filter((label) => !shared.includes(label))) as [
    string[],
    string[],
  ];
  const sizes = new Map(
    [a, b].flatMap(({ x, labels }) => labels.map((label, i) => [label, x.shape[i]!] as const)),
  );
  const dims = (labels: Labels): number[] => labels.map((label) => sizes.get(label)!);
  const labels = [...batch, ...rows, ...columns];
  if (summed.length === 0 || ![a, b].every(({ x }) => DTYPE_INFO[x.dtype].isFloat)) {
    const left = reshape(ordered(a, [...batch, ...rows, ...summed]), [
      ...dims([...batch, ...rows]),
      ...columns.map(() => 1),
      ...dims(summed),
    ]);
    const right = reshape(ordered(b, [...batch, ...columns, ...summed]), [
      ...dims(batch),
      ...rows.map(() => 1),
      ...dims(columns),
      ...dims(summed),
    ]);
    return sumOut({ x: mul(left, right), labels: [...labels, ...summed] }, new Set(labels));
  }
  const sizeOf = (list: Labels): number => elements(dims(list));
  const left = reshape(ordered(a, [...batch, ...rows, ...summed]), [
    sizeOf(batch),
    sizeOf(rows),
    sizeOf(summed),
  ]);
  const right = reshape(ordered(b, [...batch, ...summed, ...columns]), [
    sizeOf(batch),
    sizeOf(summed),
    sizeOf(columns),
  ]);
  return { x: reshape(product(left, right), dims(labels)), labels };
}

/** A batched matrix product in the common dtype of both. */
function product(left: Tensor, right: Tensor): Tensor {
  const common = PROMOTION[left.dtype][right.dtype];
  return matmul(to(left, common), to(right, common));
}
