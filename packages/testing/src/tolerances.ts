import type { DType } from "@openelm/tensor";

/** How far two numbers may lie apart: `|a − b| ≤ atol + rtol · |b|`. */
export interface Tolerance {
  readonly rtol: number;
  readonly atol: number;
}

/**
 * Tolerances by dtype, for results of sums of some hundred terms of the size of 1.
 *
 * f32 allows some hundred roundings of 2⁻²⁴. Halves are computed in f32 and rounded once, so a few roundings are enough
 * (2⁻⁸ for bf16, 2⁻¹¹ for f16). f64 is for comparing formulas that differ in conditioning and allows thousands of
 * 2⁻⁵³. Integers and bool must be equal.
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
