//! Dtypes of results, for the type checker; the table of the core says the same at run time.
import type { DType } from "./dtype.js";
import type { PROMOTION } from "./generated/promotion.js";
import type { Shape, Tensor } from "./tensor.js";

type Table = typeof PROMOTION;
type Float = "f64" | "f32" | "bf16" | "f16";

/** The dtype of an operand: that of a tensor, or the one that a plain value has by itself. */
export type DTypeOf<A> =
  A extends Tensor<Shape, infer D> ? D : A extends boolean ? "bool" : A extends bigint ? "i64" : "f32";

/** What two operands are promoted to; a plain value takes the dtype of the tensor beside it. */
export type CommonDType<A, B> =
  A extends Tensor<Shape, infer D>
    ? B extends Tensor<Shape, infer E>
      ? Table[D][E]
      : D
    : B extends Tensor<Shape, infer E>
      ? E
      : DTypeOf<A>;

/** Floats stay, integers and bool become f32. */
export type FloatDType<D extends DType> = D extends Float ? D : "f32";

/** Floats stay, sums of integers and bool are i64. */
export type SumDType<D extends DType> = D extends Float ? D : "i64";
