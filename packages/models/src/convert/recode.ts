//! From one encoding to another, some rows at a time.
import { type DType, QuantizedTensor, tensor } from "@openelm/tensor";
import { decodeBlocks, encodeBlocks, fromHalf } from "./blocks.js";
import {
  type Encoding,
  type FloatName,
  type Rows,
  rowCount,
  rowLength,
  type ScaleName,
  sameEncoding,
  type Weight,
} from "./weight.js";

type Affine = Extract<Encoding, { kind: "affine" }>;

/** The same weight in another encoding; rows are computed when they are asked for. */
export function recode(weight: Weight, encoding: Encoding): Weight {
  if (sameEncoding(weight.encoding, encoding)) return weight;
  const dim = rowLength(weight);
  return {
    name: weight.name,
    shape: weight.shape,
    encoding,
    async rows(start, end) {
      const rows = await weight.rows(start, end);
      const exact = asGroups(weight.encoding, encoding, rows, [end - start, dim]);
      if (exact !== undefined) return partsOf(exact, encoding as Affine);
      const values = await toFloats(weight.encoding, rows, [end - start, dim]);
      return fromFloats(encoding, values, [end - start, dim], weight.encoding);
    },
  };
}

/** All numbers of a weight. For small ones, and tests. */
export const floatsOf = async (weight: Weight): Promise<Float32Array> =>
  toFloats(weight.encoding, await weight.rows(0, rowCount(weight)), [rowCount(weight), rowLength(weight)]);

/** Blocks with one scale as affine groups, which hold the same numbers. */
function asGroups(
  from: Encoding,
  to: Encoding,
  { data }: Rows,
  shape: readonly [number, number],
): QuantizedTensor | undefined {
  if (from.kind !== "blocks" || to.kind !== "affine" || from.format === "Q4_K") return undefined;
  if (to.group !== 32 || to.bits !== (from.format === "Q8_0" ? 8 : 4)) return undefined;
  return QuantizedTensor.fromBlocks(data, from.format, shape, { device: "cpu" });
}

async function toFloats(
  encoding: Encoding,
  rows: Rows,
  [count, dim]: readonly [number, number],
): Promise<Float32Array> {
  switch (encoding.kind) {
    case "plain":
      return plainFloats(rows.data, encoding.dtype);
    case "blocks":
      return decodeBlocks(encoding.format, rows.data);
    case "affine": {
      const { bits, group, scales: dtype } = encoding;
      const groups = { shape: [count, dim / group], dtype, device: "cpu" } as const;
      using quantized = new QuantizedTensor({
        codes: tensor(words(rows.data), { shape: [count, (dim * bits) / 32], device: "cpu" }),
        scales: tensor(plainFloats(rows.scales!, dtype), groups),
        biases: tensor(plainFloats(rows.biases!, dtype), groups),
        bits,
        group,
      });
      using dense = quantized.dequantize({ dtype: "f32" });
      return (await dense.data()) as Float32Array;
    }
  }
}

/** Numbers of any float as f32. */
function plainFloats(data: Uint8Array, dtype: FloatName): Float32Array {
  switch (dtype) {
    case "f32":
      return new Float32Array(aligned(data, 4));
    case "f64":
      return Float32Array.from(new Float64Array(aligned(data, 8)));
    case "bf16": {
      const halves = new Uint16Array(aligned(data, 2));
      const wide = new Uint32Array(halves.length);
      for (let i = 0; i < halves.length; i++) wide[i] = halves[i]! << 16;
      return new Float32Array(wide.buffer);
    }
    case "f16": {
      const halves = new Uint16Array(aligned(data, 2));
      const out = new Float32Array(halves.length);
      for (let i = 0; i < halves.length; i++) out[i] = fromHalf(halves[i]!);
      return out;
    }
  }
}

const words = (data: Uint8Array): Uint32Array => new Uint32Array(aligned(data, 4));

/** The bytes in a buffer of their own, in which they begin at 0. */
function aligned(data: Uint8Array, size: number): ArrayBuffer {
  const { buffer, byteOffset, byteLength } = data;
  const whole = byteOffset === 0 && byteLength === buffer.byteLength && byteLength % size === 0;
  return (whole ? buffer : data.slice().buffer) as ArrayBuffer;
}

async function fromFloats(
  encoding: Encoding,
  values: Float32Array,
  shape: readonly [number, number],
  from: Encoding,
): Promise<Rows> {
  switch (encoding.kind) {
    case "plain": {
      if (encoding.dtype === "f32") return { data: new Uint8Array(values.buffer) };
      using made = tensor(values, { shape, dtype: encoding.dtype, device: "cpu" });
      return { data: await made.bytes() };
    }
    case "blocks":
      if (encoding.format === "Q4_K") throw new Error("Q4_K is only read");
      return { data: encodeBlocks(encoding.format, values) };
    case "affine": {
      const { bits, group } = encoding;
      // Halves are quantized as halves, as MLX does; values of f32 keep what they have.
      const dtype: DType = from.kind === "plain" && from.dtype !== "f64" ? from.dtype : "f32";
      using weights = tensor(values, { shape, dtype, device: "cpu" });
      return partsOf(QuantizedTensor.from(weights, { bits, group, scaleDtype: encoding.scales }), encoding);
    }
  }
}

/** The bytes of a quantized tensor, which is freed. */
async function partsOf(quantized: QuantizedTensor, { scales: dtype }: Affine): Promise<Rows> {
  using q = quantized;
  using scales = q.scales.to(dtype);
  using biases = q.biases.to(dtype);
  const [data, scaleBytes, biasBytes] = await Promise.all([q.codes.bytes(), scales.bytes(), biases.bytes()]);
  return { data, scales: scaleBytes, biases: biasBytes };
}

/** The dtype that a weight's numbers have once they are no codes any more. */
export function plainDtype(encoding: Encoding): ScaleName {
  if (encoding.kind === "affine") return encoding.scales;
  // The numbers of blocks are products of an f16, which f32 alone holds exactly.
  return encoding.kind === "blocks" || encoding.dtype === "f64" ? "f32" : encoding.dtype;
}
