//! Metadata of GGUF files. https://github.com/ggml-org/ggml/blob/master/docs/gguf.md

/** Types of values by their numbers. */
export const GGUF_TYPES = [
  "u8",
  "i8",
  "u16",
  "i16",
  "u32",
  "i32",
  "f32",
  "bool",
  "string",
  "array",
  "u64",
  "i64",
  "f64",
] as const;

export type GgufType = (typeof GGUF_TYPES)[number];

/** A value with its type, as files have them. */
export type GgufValue =
  | { readonly type: Exclude<GgufType, "array" | "string" | "bool">; readonly value: number }
  | { readonly type: "bool"; readonly value: boolean }
  | { readonly type: "string"; readonly value: string }
  | { readonly type: "array"; readonly of: GgufType; readonly value: readonly (number | boolean | string)[] };

/** Values by key. */
export type GgufMetadata = ReadonlyMap<string, GgufValue>;

/** Encodings of tensors by their numbers in files. */
export const TENSOR_TYPES = { F32: 0, F16: 1, Q4_0: 2, Q8_0: 8, Q4_K: 12, F64: 28, BF16: 30 } as const;

export type TensorType = keyof typeof TENSOR_TYPES;

/** A tensor in a file; the sizes of its axes begin with that of a row. */
export interface GgufTensor {
  readonly name: string;
  readonly sizes: readonly number[];
  readonly type: TensorType;
  /** In bytes from the begin of the data. */
  readonly offset: number;
}

/** Tensors begin at multiples of it, unless the file says otherwise. */
export const ALIGNMENT = 32;

export const alignedTo = (at: number, alignment: number): number => Math.ceil(at / alignment) * alignment;
