//! Tensors of regular numbers.
import { OpError } from "@openelm/native";
import { type CreateOptions, tensor } from "./create.js";
import { defaults } from "./defaults.js";
import type { DType } from "./dtype.js";
import { arange as arangeOp } from "./generated/internal.js";
import { add, eq, reshape } from "./generated/ops.js";
import { checkCount } from "./shape.js";
import type { Shape, Tensor } from "./tensor.js";
import { to } from "./to.js";

/**
 * Numbers from `start` (0 when absent) up to but without `stop`, `step` apart.
 *
 * Computed in f64 as `start + i · step` and rounded once.
 *
 * @example
 * ```ts
 * await arange(3).array(); // [0, 1, 2]
 * await arange(5, 0, -2, { dtype: "i32" }).array(); // [5, 3, 1]
 * ```
 */
export function arange<D extends DType = "f32">(
  stop: number,
  options?: CreateOptions<D>,
): Tensor<Shape, NoInfer<D>>;
export function arange<D extends DType = "f32">(
  start: number,
  stop: number,
  options?: CreateOptions<D>,
): Tensor<Shape, NoInfer<D>>;
export function arange<D extends DType = "f32">(
  start: number,
  stop: number,
  step: number,
  options?: CreateOptions<D>,
): Tensor<Shape, NoInfer<D>>;
export function arange(...args: (number | CreateOptions | undefined)[]): Tensor {
  const numbers = args.filter((arg): arg is number => typeof arg === "number");
  const options = args.find((arg): arg is CreateOptions => typeof arg === "object") ?? {};
  const [start, stop, step = 1] =
    numbers.length === 1 ? [0, numbers[0]!] : (numbers as [number, number, number?]);
  if (step === 0 || ![start, stop, step].every(Number.isFinite)) {
    throw new OpError(
      "INVALID_ARGUMENT",
      "arange",
      `needs finite numbers and a step other than 0, got ${numbers.join(", ")}`,
    );
  }
  const length = Math.max(0, Math.ceil((stop - start) / step));
  return arangeOp(start, step, length, { dtype: options.dtype ?? defaults().dtype, device: options.device });
}

/** Options of {@link linspace}. */
export interface LinspaceOptions<D extends DType = DType> extends CreateOptions<D> {
  /** Whether `stop` is the last number. Default `true`. */
  readonly endpoint?: boolean | undefined;
}

/**
 * `count` numbers from `start` to `stop`, equally far apart; both ends are exact.
 *
 * @example
 * ```ts
 * await linspace(0, 1, 5).array(); // [0, 0.25, 0.5, 0.75, 1]
 * ```
 */
export function linspace<D extends DType = "f32">(
  start: number,
  stop: number,
  count = 50,
  { endpoint = true, ...options }: LinspaceOptions<D> = {},
): Tensor<Shape, NoInfer<D>> {
  checkCount("linspace", "count", count);
  const parts = endpoint ? count - 1 : count;
  const values = new Float64Array(count);
  for (let i = 0; i < count; i++) {
    values[i] = i === parts && parts > 0 ? stop : start + ((stop - start) * i) / Math.max(parts, 1);
  }
  return tensor(values, { ...options, dtype: options.dtype ?? (defaults().dtype as D) });
}

/** Options of {@link eye}. */
export interface EyeOptions<D extends DType = DType> extends CreateOptions<D> {
  /** How many columns; as many as rows when absent. */
  readonly columns?: number | undefined;
  /** Which diagonal holds the ones: 0 is the main one, positive ones lie above it. Default `0`. */
  readonly diagonal?: number | undefined;
}

/**
 * A matrix with ones on a diagonal and zeros elsewhere.
 *
 * @example
 * ```ts
 * await eye(2).array(); // [[1, 0], [0, 1]]
 * ```
 */
export function eye<D extends DType = "f32">(
  rows: number,
  { columns = rows, diagonal = 0, dtype, device }: EyeOptions<D> = {},
): Tensor<Shape, NoInfer<D>> {
  checkCount("eye", "rows", rows);
  checkCount("eye", "columns", columns);
  const indices = (n: number): Tensor => arange(n, { dtype: "i32", device });
  const row = reshape(add(indices(rows), diagonal), [rows, 1]);
  return to(eq(row, indices(columns)), dtype ?? defaults().dtype) as Tensor<Shape, D>;
}
