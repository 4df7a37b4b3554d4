import type { DType } from "./dtype.js";
import type { OpInfo } from "./op-info.js";
import { refuseAsync, type Synchronous } from "./scope.js";
import type { Tensor } from "./tensor.js";

let lower: "bf16" | "f16" | undefined;

/**
 * Runs `fn` with matmuls and attention in a lower precision: their f32 inputs are cast, other ops keep theirs.
 *
 * @throws UsageError `ASYNC_SCOPE` if `fn` returns a promise.
 */
export function autocast<T>(dtype: "bf16" | "f16" | "off", fn: () => Synchronous<T>): T {
  const outer = lower;
  lower = dtype === "off" ? undefined : dtype;
  try {
    const result = fn() as T;
    refuseAsync(result, "autocast");
    return result;
  } finally {
    lower = outer;
  }
}

/** What {@link autocast} is set to here. @internal */
export const currentAutocast = (): "bf16" | "f16" | "off" => lower ?? "off";

/** The dtype that a float input of `op` should have here. @internal */
export function castFor(op: OpInfo, { dtype }: Tensor): DType {
  return lower !== undefined && op.autocast === "lower" && dtype === "f32" ? lower : dtype;
}
