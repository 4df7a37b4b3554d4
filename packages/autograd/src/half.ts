import type { DType } from "@openelm/tensor";

/** Whether sums of such numbers are kept in f32. */
export const isHalf = (dtype: DType): boolean => dtype === "bf16" || dtype === "f16";
