//! Where tensors lie in a new safetensors file.
import type { FloatName, Weight } from "../weight.js";
import { byteLength, rowBytes, rowCount, rowLength } from "../weight.js";

/** A tensor of a file. */
export interface Slot {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly bytes: number;
}

const DTYPES: Readonly<Record<FloatName, string>> = { f64: "F64", f32: "F32", bf16: "BF16", f16: "F16" };

/** Dtypes of the format by ours. */
export const FLOAT_BY_DTYPE: ReadonlyMap<string, FloatName> = new Map(
  Object.entries(DTYPES).map(([ours, theirs]) => [theirs, ours as FloatName]),
);

/** The tensors that a weight is in a file: one, or codes, scales and biases. */
export function slotsOf(weight: Weight, fileName: string): readonly Slot[] {
  const { encoding, shape } = weight;
  const [rows, dim] = [rowCount(weight), rowLength(weight)];
  if (encoding.kind === "plain") {
    return [{ name: fileName, dtype: DTYPES[encoding.dtype], shape, bytes: byteLength(weight) }];
  }
  if (encoding.kind === "blocks") throw new Error("safetensors files hold no blocks");
  const { data, scales } = rowBytes(encoding, dim);
  const perGroup = (part: string): Slot => ({
    name: fileName.replace(/weight$/, part),
    dtype: DTYPES[encoding.scales],
    shape: [rows, dim / encoding.group],
    bytes: rows * scales,
  });
  const codes = { name: fileName, dtype: "U32", shape: [rows, data / 4], bytes: rows * data };
  return [codes, perGroup("scales"), perGroup("biases")];
}

/** The format's own order: wide dtypes first, then by name, so that every tensor is aligned to its elements. */
const WIDTHS = ["F64", "F32", "U32", "BF16", "F16"];

export function inOrder(slots: readonly Slot[]): Slot[] {
  return [...slots].sort(
    (a, b) =>
      WIDTHS.indexOf(a.dtype) - WIDTHS.indexOf(b.dtype) ||
      Buffer.compare(Buffer.from(a.name), Buffer.from(b.name)),
  );
}

/** Length and JSON of the header, filled up with spaces to a multiple of 8 bytes, as the format's own library writes it. */
export function headerOf(slots: readonly Slot[], metadata: Readonly<Record<string, string>>): Uint8Array {
  const fields = [`"__metadata__":${JSON.stringify(metadata)}`];
  let start = 0;
  for (const { name, dtype, shape, bytes } of slots) {
    fields.push(
      `${JSON.stringify(name)}:${JSON.stringify({ dtype, shape, data_offsets: [start, start + bytes] })}`,
    );
    start += bytes;
  }
  const json = Buffer.from(`{${fields.join(",")}}`);
  const out = Buffer.alloc(8 + Math.ceil(json.length / 8) * 8, " ");
  out.writeBigUInt64LE(BigInt(out.length - 8));
  json.copy(out, 8);
  return out;
}

/**
 * Where a header puts each tensor, in bytes from the file's begin; undefined if its tensors are others than the given.
 */
export function placesOf(
  header: Uint8Array,
  slots: ReadonlyMap<string, Slot>,
): Map<string, number> | undefined {
  const json: unknown = JSON.parse(Buffer.from(header.subarray(8)).toString("utf8"));
  const places = new Map<string, number>();
  for (const [name, entry] of Object.entries(json as Record<string, Record<string, unknown>>)) {
    if (name === "__metadata__") continue;
    const slot = slots.get(name);
    const [start, end] = (entry.data_offsets ?? []) as [number, number];
    const isSame =
      slot !== undefined &&
      entry.dtype === slot.dtype &&
      (entry.shape as number[]).join() === slot.shape.join() &&
      end - start === slot.bytes;
    if (!isSame) return undefined;
    places.set(name, header.length + start);
  }
  return places;
}
