import { type QuantizationOptions, QuantizedTensor, type ScaleDType, UsageError } from "@openelm/tensor";
import { Buffer } from "../parameter.js";

/** The buffers of quantized weights `[rows, dim]` that have no values yet, named as in files of MLX. */
export interface QuantizedBuffers {
  readonly weight: Buffer;
  readonly scales: Buffer;
  readonly biases: Buffer;
  readonly bits: number;
  readonly group: number;
}

/** @throws UsageError if `dim` is not a multiple of `group`. */
export function quantizedBuffers(
  name: string,
  [rows, dim]: readonly [number, number],
  { bits = 4, group = 64, scaleDtype }: QuantizationOptions,
): QuantizedBuffers {
  if (dim % group !== 0) {
    throw new UsageError(`${name}: rows of ${dim} weights are not whole groups of ${group}`);
  }
  const perGroup = (dtype: ScaleDType | undefined) => new Buffer({ shape: [rows, dim / group], dtype });
  return {
    weight: new Buffer({ shape: [rows, (dim * bits) / 32], dtype: "u32" }),
    scales: perGroup(scaleDtype),
    biases: perGroup(scaleDtype),
    bits,
    group,
  };
}

/** The buffers' values as one matrix. */
export const quantizedTensor = ({ weight, scales, biases, bits, group }: QuantizedBuffers): QuantizedTensor =>
  new QuantizedTensor({ codes: weight.value, scales: scales.value, biases: biases.value, bits, group });

/** Gives the buffers the tensors of a matrix. */
export function takeQuantized({ weight, scales, biases }: QuantizedBuffers, from: QuantizedTensor): void {
  weight.value = from.codes;
  scales.value = from.scales;
  biases.value = from.biases;
}
