import type { DType } from "@openelm/tensor";

/** How far two numbers may lie apart: `|a − b| ≤ atol + rtol · |b|`. */
export interface Tolerance {
  readonly rtol: number;
  readonly atol: number;
}

/**
 * Tolerances by dtype, for results of sums of some hundred terms of the size of 1.
 *
 * Each is about 2⁷ roundings of the dtype (bf16 2⁻⁸, f16 2⁻¹¹, f32 2⁻²⁴, f64 2⁻⁵³), a few for halves, which round once;
 * integers and bool must be equal.
 */
export const TOLERANCES: Readonly<Record<DType, Tolerance>> = {
  f64: { rtol: 1e-12, atol: 1e-13 },
  f32: { rtol: 1e-5, atol: 1e-6 },
  bf16: { rtol: 1.6e-2, atol: 1e-3 },
  f16: { rtol: 2e-3, atol: 1e-4 },
  i64: { rtol: 0, atol: 0 },
  i32: { rtol: 0, atol: 0 },
  u32: { rtol: 0, atol: 0 },
  i8: { rtol: 0, atol: 0 },
  u8: { rtol: 0, atol: 0 },
  bool: { rtol: 0, atol: 0 },
};
