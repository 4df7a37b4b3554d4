//! Tensors of one value.
import type { CreateOptions } from "./create.js";
import { defaults } from "./defaults.js";
import type { DType } from "./dtype.js";
import { full as fullOp } from "./generated/internal.js";
import { checkScalar } from "./scalar.js";
import type { Shape, Tensor } from "./tensor.js";

/** The dtype of a fill value by itself; numbers have that of `defaults()`. */
export type FillDType<V> = V extends boolean ? "bool" : V extends bigint ? "i64" : "f32";

/**
 * A tensor of zeros.
 *
 * Without `dtype` it has that of `defaults()`, which is f32 (and typed so) unless `withDefaults` says otherwise.
 *
 * @example
 * ```ts
 * zeros([2, 3]).shape; // [2, 3]
 * zeros([2], { dtype: "i32" }).dtype; // "i32"
 * ```
 */
export function zeros<D extends DType = "f32">(
  shape: Shape,
  options: CreateOptions<D> = {},
): Tensor<Shape, NoInfer<D>> {
  return full(shape, 0, options);
}

/**
 * A tensor of ones; see {@link zeros}.
 *
 * @example
 * ```ts
 * await ones([3]).sum().item(); // 3
 * ```
 */
export function ones<D extends DType = "f32">(
  shape: Shape,
  options: CreateOptions<D> = {},
): Tensor<Shape, NoInfer<D>> {
  return full(shape, 1, options);
}

/**
 * A tensor of one value. Booleans make it bool and bigints i64 unless `dtype` says otherwise.
 *
 * @throws OpError `NOT_REPRESENTABLE` if an integer dtype does not have the value.
 * @example
 * ```ts
 * await full([2, 2], 0.5).array(); // [[0.5, 0.5], [0.5, 0.5]]
 * ```
 */
export function full<V extends number | bigint | boolean, D extends DType = FillDType<V>>(
  shape: Shape,
  value: V,
  { dtype, device }: CreateOptions<D> = {},
): Tensor<Shape, NoInfer<D>> {
  const own = typeof value === "boolean" ? "bool" : typeof value === "bigint" ? "i64" : defaults().dtype;
  const wanted: DType = dtype ?? own;
  checkScalar(value, wanted, "full");
  return fullOp(shape, Number(value), { dtype: wanted, device }) as Tensor<Shape, D>;
}

/** Options of {@link zerosLike} and its kin: what is not given is as in the other tensor. */
export type LikeOptions<D extends DType> = CreateOptions<D>;

/**
 * Zeros in the shape, dtype and device of another tensor.
 *
 * @example
 * ```ts
 * zerosLike(tensor([1, 2])); // tensor([0, 0])
 * ```
 */
export function zerosLike<D extends DType>(x: Tensor<Shape, D>): Tensor<Shape, D>;
export function zerosLike<D extends DType>(x: Tensor, options: LikeOptions<D>): Tensor<Shape, D>;
export function zerosLike(x: Tensor, options: LikeOptions<DType> = {}): Tensor {
  return fullLike(x, 0, options);
}

/** Ones in the shape, dtype and device of another tensor. */
export function onesLike<D extends DType>(x: Tensor<Shape, D>): Tensor<Shape, D>;
export function onesLike<D extends DType>(x: Tensor, options: LikeOptions<D>): Tensor<Shape, D>;
export function onesLike(x: Tensor, options: LikeOptions<DType> = {}): Tensor {
  return fullLike(x, 1, options);
}

/** One value in the shape, dtype and device of another tensor. */
export function fullLike<D extends DType>(
  x: Tensor<Shape, D>,
  value: number | bigint | boolean,
): Tensor<Shape, D>;
export function fullLike<D extends DType>(
  x: Tensor,
  value: number | bigint | boolean,
  options: LikeOptions<D>,
): Tensor<Shape, D>;
export function fullLike(
  x: Tensor,
  value: number | bigint | boolean,
  options: LikeOptions<DType> = {},
): Tensor {
  return full(x.shape, value, { dtype: options.dtype ?? x.dtype, device: options.device ?? x.device });
}
