/** The type of one element. */
export type DType = "f64" | "f32" | "bf16" | "f16" | "i64" | "i32" | "u32" | "i8" | "u8" | "bool";

/** All dtypes, in the order of their numbers in the native core. */
export const DTYPES: readonly DType[] = [
  "f64",
  "f32",
  "bf16",
  "f16",
  "i64",
  "i32",
  "u32",
  "i8",
  "u8",
  "bool",
];

/** The typed array that holds values of a dtype on the host; halves are held as f32. */
export interface HostArrays {
  f64: Float64Array;
  f32: Float32Array;
  bf16: Float32Array;
  f16: Float32Array;
  i64: BigInt64Array;
  i32: Int32Array;
  u32: Uint32Array;
  i8: Int8Array;
  u8: Uint8Array;
  bool: Uint8Array;
}

interface DTypeInfo {
  readonly index: number;
  readonly size: number;
  readonly isFloat: boolean;
  /** Smallest and largest whole numbers, for integers. */
  readonly range: readonly [number, number] | undefined;
}

const info = (name: DType, size: number, range?: readonly [number, number]): DTypeInfo => ({
  index: DTYPES.indexOf(name),
  size,
  isFloat: name.includes("f"),
  range,
});

/** What can be said of a dtype without its values. */
export const DTYPE_INFO: Readonly<Record<DType, DTypeInfo>> = {
  f64: info("f64", 8),
  f32: info("f32", 4),
  bf16: info("bf16", 2),
  f16: info("f16", 2),
  i64: info("i64", 8, [-(2 ** 53), 2 ** 53]),
  i32: info("i32", 4, [-(2 ** 31), 2 ** 31 - 1]),
  u32: info("u32", 4, [0, 2 ** 32 - 1]),
  i8: info("i8", 1, [-128, 127]),
  u8: info("u8", 1, [0, 255]),
  bool: info("bool", 1, [0, 1]),
};

const CONSTRUCTORS = {
  f64: Float64Array,
  f32: Float32Array,
  i64: BigInt64Array,
  i32: Int32Array,
  u32: Uint32Array,
  i8: Int8Array,
  u8: Uint8Array,
  bool: Uint8Array,
} as const;

/** Dtypes whose elements a typed array can hold as they are. */
export type HostDType = keyof typeof CONSTRUCTORS;

/** A typed array of `length` zeros for values of `dtype`. */
export function hostArray<D extends HostDType>(dtype: D, length: number): HostArrays[D] {
  return new CONSTRUCTORS[dtype](length) as HostArrays[D];
}

/** Whether the host has no typed array for the dtype. */
export const isHalf = (dtype: DType): dtype is "bf16" | "f16" => dtype === "bf16" || dtype === "f16";
