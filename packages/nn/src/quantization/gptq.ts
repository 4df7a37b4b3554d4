import {
  type DType,
  OpError,
  type QuantizationOptions,
  QuantizedTensor,
  type ScaleDType,
  type Shape,
  scope,
  type Tensor,
  tensor,
  UsageError,
  zeros,
} from "@openelm/tensor";
import { unitCholesky } from "./cholesky.js";
import { codeOf, fitGrid } from "./grid.js";
import { packCodes } from "./pack.js";
import { numbersOf } from "./read.js";

/** Options of {@link gptq}. */
export interface GptqOptions extends QuantizationOptions {
  /** Added to the diagonal of the moments, as a share of its mean. Default 0.01. */
  readonly damping?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Columns that are rounded before the others hear of their errors. */
const BLOCK = 64;

/**
 * Rounds the weights of a linear layer to codes so that its outputs change little, by GPTQ.
 *
 * With `H = Σ x xᵀ` over the layer's inputs, the outputs' squared error is `e H eᵀ` a row, `e = w − ŵ`. For
 * `H = M diag(d) Mᵀ`, `M` lower triangular with ones on its diagonal, that is `Σⱼ dⱼ (eⱼ + Σ_{k>j} Mₖⱼ eₖ)²`. So columns
 * are rounded from the last to the first, each to the code next to `wⱼ + Σ_{k>j} Mₖⱼ eₖ`: it makes good what those
 * before it are off. Inputs of large squares go first, when all others can still answer. Scales and biases are
 * chosen before, for the least error that the diagonal of `H` sees.
 *
 * Shapes: `weight` `[outputs, inputs]`, `moments` `[inputs, inputs]`. Dtypes: floats. Deterministic.
 *
 * @param moments - `Σ x xᵀ` over the inputs; without it all inputs count alike, and weights are rounded one by one.
 * @throws OpError `SHAPE_MISMATCH` if rows are not whole groups or the moments do not fit; UsageError if the moments are
 * not those of finite inputs.
 * @example
 * ```ts
 * const x = normal([256, 64]);
 * const codes = await gptq(normal([32, 64]), transpose(x).matmul(x), { bits: 4, group: 32 });
 * codes.shape; // [32, 64]
 * ```
 * @see Frantar et al., 2022, "GPTQ", arXiv:2210.17323; Chee et al., 2023, "QuIP", arXiv:2307.13304, for this form
 */
export async function gptq(
  weight: Tensor,
  moments: Tensor | undefined,
  { bits = 4, group = 64, scaleDtype, damping = 0.01, signal }: GptqOptions = {},
): Promise<QuantizedTensor> {
  const [rows, dim] = checked(weight, moments, group);
  const weights = await numbersOf<Float32Array>(() => weight.to("f32"));
  const dtype = scaleDtype ?? scaleDtypeOf(weight.dtype);
  const { importance, damped } = await dampedMoments(moments, dim, damping);
  const grid = fitGrid({ weights, dim, bits, group }, importance);
  const shape = [rows, dim / group] as const;
  const device = weight.device;
  const [scales, biases] = [grid.scales, grid.biases].map((values) =>
    tensor(values, { shape: [...shape], dtype, device }),
  ) as [Tensor, Tensor];
  const problem = {
    rows,
    dim,
    most: 2 ** bits - 1,
    group,
    weights,
    // What is rounded to is what the codes will stand for.
    scales: await numbersOf<Float32Array>(() => scales.to("f32")),
    biases: await numbersOf<Float32Array>(() => biases.to("f32")),
  };
  const codes = new Uint8Array(weights.length);
  if (damped === undefined) roundAlone(problem, codes);
  else {
    const order = ascending(importance);
    const factor = await factorOf(damped, order);
    signal?.throwIfAborted();
    await roundTogether(problem, order, factor, { codes, device, signal });
  }
  return new QuantizedTensor({
    codes: tensor(packCodes(codes, bits), { shape: [rows, (dim * bits) / 32], device }),
    scales,
    biases,
    bits,
    group,
  });
}

/** A matrix, its grids and what its columns count. */
interface Problem {
  readonly rows: number;
  readonly dim: number;
  /** The largest code. */
  readonly most: number;
  readonly group: number;
  readonly weights: Float32Array;
  readonly scales: Float32Array;
  readonly biases: Float32Array;
}

function checked(weight: Tensor, moments: Tensor | undefined, group: number): readonly [number, number] {
  const [rows, dim] = weight.shape;
  const wanted = [dim, dim].join();
  const fits = moments === undefined || moments.shape.join() === wanted;
  if (weight.rank === 2 && dim! % group === 0 && fits) return [rows!, dim!];
  const got = (shape: Shape | undefined): string => `[${shape?.join(", ") ?? ""}]`;
  throw new OpError(
    "SHAPE_MISMATCH",
    "gptq",
    `wants weights [outputs, inputs] with inputs in groups of ${group} and moments [inputs, inputs], got ${got(weight.shape)} and ${got(moments?.shape)}`,
  );
}

const scaleDtypeOf = (dtype: DType): ScaleDType => (dtype === "bf16" || dtype === "f16" ? dtype : "f32");

/** What each column counts, and the moments with something added to their diagonal, row by row. */
async function dampedMoments(
  moments: Tensor | undefined,
  dim: number,
  damping: number,
): Promise<{ importance: Float64Array; damped: Float64Array | undefined }> {
  if (moments === undefined) return { importance: new Float64Array(dim).fill(1), damped: undefined };
  const damped = await numbersOf<Float64Array>(() => moments.to({ dtype: "f64", device: "cpu" }));
  const diagonal = Float64Array.from({ length: dim }, (_, i) => damped[i * dim + i]!);
  const mean = diagonal.reduce((sum, value) => sum + value, 0) / dim;
  if (!(mean >= 0 && mean < Number.POSITIVE_INFINITY)) {
    throw new UsageError("gptq: the inputs that the moments are of are not finite");
  }
  // Inputs that were always 0 get the weights nearest codes, for all inputs to come.
  const extra = mean === 0 ? 1 : damping * mean;
  for (let i = 0; i < dim; i++) damped[i * dim + i]! += extra;
  return { importance: diagonal.map((value) => value + extra), damped };
}

/** Columns by what they count, the least first. Equal ones stay in order. */
const ascending = (importance: Float64Array): Int32Array =>
  Int32Array.from(importance.keys()).sort((a, b) => importance[a]! - importance[b]! || a - b);

async function factorOf(moments: Float64Array, order: Int32Array): Promise<Float32Array> {
  const dim = order.length;
  const ordered = new Float64Array(moments.length);
  for (let i = 0; i < dim; i++) {
    for (let j = 0; j <= i; j++) {
      const value = moments[order[i]! * dim + order[j]!]!;
      ordered[i * dim + j] = value;
      ordered[j * dim + i] = value;
    }
  }
  const a = tensor(ordered, { shape: [dim, dim], dtype: "f64", device: "cpu" });
  try {
    return await unitCholesky(a);
  } finally {
    a.dispose();
  }
}

function roundAlone({ dim, most, group, weights, scales, biases }: Problem, codes: Uint8Array): void {
  for (let i = 0; i < weights.length; i++) {
    const g = Math.floor(i / dim) * (dim / group) + Math.floor((i % dim) / group);
    codes[i] = codeOf(weights[i]!, scales[g]!, biases[g]!, most);
  }
}

/** Rounds blocks of columns, from the last to the first in `order`; `factor` is `M` in that order. */
async function roundTogether(
  problem: Problem,
  order: Int32Array,
  factor: Float32Array,
  {
    codes,
    device,
    signal,
  }: {
    readonly codes: Uint8Array;
    readonly device: Tensor["device"];
    readonly signal: AbortSignal | undefined;
  },
): Promise<void> {
  const { rows, dim } = problem;
  const place = { dtype: "f32", device } as const;
  const m = tensor(factor, { shape: [dim, dim], ...place });
  // What the columns to come are to make good: the errors so far times their rows of M.
  let due: Tensor = zeros([rows, dim], place);
  try {
    for (let end = dim; end > 0; end -= Math.min(BLOCK, end)) {
      signal?.throwIfAborted();
      const start = Math.max(0, end - BLOCK);
      const width = end - start;
      const targets = await numbersOf<Float32Array>(() => due.at(":", `${start}:`) as Tensor);
      const errors = roundBlock(problem, order, factor, { start, width, targets, codes });
      const before = due;
      due = scope(() => {
        const e = tensor(errors, { shape: [rows, width], ...place });
        const left = before.at(":", `:${start}`) as Tensor;
        return left.add(e.matmul(m.at(`${start}:${end}`, `:${start}`) as Tensor));
      });
      before.dispose();
    }
  } finally {
    due.dispose();
    m.dispose();
  }
}

/** Rounds the columns of one block and gives their errors, `[rows, width]`. */
function roundBlock(
  { rows, dim, most, group, weights, scales, biases }: Problem,
  order: Int32Array,
  factor: Float32Array,
  {
    start,
    width,
    targets,
    codes,
  }: {
    readonly start: number;
    readonly width: number;
    readonly targets: Float32Array;
    readonly codes: Uint8Array;
  },
): Float32Array {
  const errors = new Float32Array(rows * width);
  const groups = dim / group;
  for (let c = width - 1; c >= 0; c--) {
    const column = order[start + c]!;
    // Column c of M below its diagonal, within the block.
    const answers = Float64Array.from({ length: width }, (_, k) =>
      k > c ? factor[(start + k) * dim + start + c]! : 0,
    );
    for (let r = 0; r < rows; r++) {
      const g = r * groups + Math.floor(column / group);
      const [scale, bias] = [scales[g]!, biases[g]!];
      let due = targets[r * width + c]!;
      for (let k = c + 1; k < width; k++) due += answers[k]! * errors[r * width + k]!;
      const weight = weights[r * dim + column]!;
      const code = codeOf(weight + due, scale, bias, most);
      codes[r * dim + column] = code;
      errors[r * width + c] = weight - (scale * code + bias);
    }
  }
  return errors;
}
